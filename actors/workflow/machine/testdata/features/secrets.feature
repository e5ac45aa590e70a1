Feature: Secrets
  A secret is available to calls only.

  Scenario: In the arguments of a call
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - ask: {call: ask, with: {key: '${ $secrets.s.key }'}}
    """
    And the secret s is:
    """yaml
    key: hunter2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    key: "***"
    """
    And the calls should be:
    """yaml
    - ask {"key":"hunter2"}
    """
    And the log should not contain hunter2

  Scenario: In the input of a call
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - ask: {input: {from: '{key: $secrets.s.key, n: .n}'}, call: ask, with: {key: '${ .key }', n: '${ .n }'}, output: {as: .n}}
    """
    And given the workflow input is:
    """yaml
    n: 4
    """
    And the secret s is:
    """yaml
    key: hunter2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    4
    """
    And the calls should be:
    """yaml
    - ask {"key":"hunter2","n":4}
    """
    And the log should not contain hunter2

  Scenario: In data
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - a: {set: {x: '${ $secrets.s }'}}
    """
    Then the definition should be rejected as expression at /do/0/a/set/x

  Scenario: In an output
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - a: {call: ask, output: {as: $secrets.s}}
    """
    Then the definition should be rejected as expression at /do/0/a/output/as

  Scenario: In an output
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - a: {call: ask, output: {as: '${ {answer: ., key: $secrets.s} }'}}
    """
    Then the definition should be rejected as expression at /do/0/a/output/as

  Scenario: In an event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: secrets, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - a: {emit: {event: {with: {type: t, data: '${ $secrets.s }'}}}}
    """
    Then the definition should be rejected as expression at /do/0/a/emit/event/with/data
