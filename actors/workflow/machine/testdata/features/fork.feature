Feature: Fork Task
  Branches run in parallel; competing branches have one winner.

  Scenario: The first branch to complete wins
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - race:
        fork:
          compete: true
          branches:
          - slow: {do: [{w: {wait: PT9S}}, {s: {set: {by: slow}}}]}
          - fast: {do: [{w: {wait: PT3S}}, {s: {set: {by: fast}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    by: fast
    """
    And it should take PT3S

  Scenario: A branch that faults does not win
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - race:
        fork:
          compete: true
          branches:
          - bad: {raise: {error: {type: urn:bad, status: 400}}}
          - good: {do: [{w: {wait: PT3S}}, {s: {set: {by: good}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    by: good
    """

  Scenario: All branches fault
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - race: {fork: {compete: true, branches: [{a: {raise: {error: {type: urn:a, status: 400}}}}, {b: {raise: {error: {type: urn:b, status: 401}}}}]}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: urn:b, status: 401, instance: /do/0/race/fork/branches/1/b}
    """

  Scenario: All outputs, in the order of the branches
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - all: {fork: {branches: [{a: {do: [{w: {wait: PT9S}}, {s: {set: {n: 1}}}]}}, {b: {set: {n: 2}}}]}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{n: 1}, {n: 2}]
    """
    And it should take PT9S

  Scenario: A fault cancels the other branches
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - all: {fork: {branches: [{a: {do: [{w: {wait: PT9S}}, {s: {call: note}}]}}, {b: {raise: {error: {type: urn:b, status: 401}}}}]}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: urn:b, status: 401, instance: /do/0/all/fork/branches/1/b}
    """
    And it should take PT0S
    And the calls should be:
    """yaml
    []
    """

  Scenario: No branches
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: fork, version: '0.1.0'}
    do:
    - all: {fork: {branches: []}}
    """
    Then the definition should be rejected as value at /do/0/all/fork
