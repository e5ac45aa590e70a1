Feature: Extensions
  An extension runs tasks before and after the tasks that it extends.

  Scenario: Before and after
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: extensions, version: '0.1.0'}
    use:
      extensions:
      - log:
          extend: call
          before: [{in: {call: note, with: {at: '${ $task.name }'}}}]
          after: [{out: {call: note, with: {was: '${ . }'}}}]
    do:
    - a: {call: work, with: {n: 1}}
    - b: {set: {done: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: {n: 1}
    """
    And the calls should be:
    """yaml
    - note {"at":"a"}
    - work {"n":1}
    - note {"was":{"n":1}}
    """

  Scenario: Replacing the task
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: extensions, version: '0.1.0'}
    use:
      extensions:
      - log:
          extend: call
          before: [{mock: {set: {n: 99}, then: exit}}]
    do:
    - a: {call: work, with: {n: 1}}
    - b: {set: {done: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: {n: 99}
    """
    And the calls should be:
    """yaml
    []
    """

  Scenario: With a condition
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: extensions, version: '0.1.0'}
    use:
      extensions:
      - log:
          extend: call
          when: $task.with.n > 1
          before: [{mock: {set: {n: 99}, then: exit}}]
    do:
    - a: {call: work, with: {n: 1}}
    - b: {set: {done: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: {n: 1}
    """

  Scenario: With a fault
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: extensions, version: '0.1.0'}
    use:
      extensions:
      - log:
          extend: call
          before: [{bad: {raise: {error: {type: urn:bad, status: 400}}}}]
    do:
    - a: {call: work, with: {n: 1}}
    - b: {set: {done: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: urn:bad, status: 400, instance: /use/extensions/0/log/before/0/bad}
    """
    And the calls should be:
    """yaml
    []
    """

  Scenario: Extending an unknown kind of task
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: extensions, version: '0.1.0'}
    use:
      extensions:
      - log:
          extend: walk
          before: []
    do:
    - a: {call: work, with: {n: 1}}
    - b: {set: {done: '${ . }'}}
    """
    Then the definition should be rejected as value at /use/extensions/0/log/extend
