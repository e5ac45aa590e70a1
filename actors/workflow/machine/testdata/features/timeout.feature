Feature: Timeout
  A task or workflow that exceeds its timeout ends with a timeout error.

  Scenario: Of the workflow
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: timeout, version: '0.1.0'}
    timeout: {after: PT5S}
    do:
    - a: {wait: PT3S}
    - b: {wait: PT3S}
    """
    When the workflow is executed
    Then the workflow should fault with a timeout error at the workflow
    And it should take PT5S

  Scenario: Of a task with nested tasks
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: timeout, version: '0.1.0'}
    do:
    - a: {timeout: {after: PT5S}, do: [{b: {wait: PT3S}}, {c: {wait: PT3S}}]}
    """
    When the workflow is executed
    Then the workflow should fault with a timeout error at /do/0/a

  Scenario: A caught timeout
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: timeout, version: '0.1.0'}
    do:
    - a:
        try: [{b: {timeout: {after: PT1S}, wait: PT3S}}]
        catch: {errors: {with: {type: 'https://open-workflow-specification.org/spec/1.0.0/errors/timeout', status: 408}}, do: [{c: {set: {late: true}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    late: true
    """

  Scenario: A named timeout with an expression
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: timeout, version: '0.1.0'}
    use: {timeouts: {short: {after: '${ .limit }'}}}
    do:
    - a: {timeout: short, wait: PT3S}
    """
    And given the workflow input is:
    """yaml
    limit: PT2S
    """
    When the workflow is executed
    Then the workflow should fault with a timeout error at /do/0/a
    And it should take PT2S

  Scenario: Within the timeout
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: timeout, version: '0.1.0'}
    do:
    - a: {timeout: {after: PT5S}, wait: PT3S}
    - b: {wait: PT3S}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {}
    """
    And it should take PT6S
