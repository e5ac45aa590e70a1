Feature: Wait Task
  A wait passes its input on once its duration has elapsed.

  Scenario: A wait of a month
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: {days: 31}}
    - go: {set: {n: '${ .n + 1 }'}}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 2
    """
    And it should take P31D

  Scenario: ISO 8601
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: P1DT12H}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
    And it should take PT36H

  Scenario: An expression
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: '${ {seconds: .n} }'}
    """
    And given the workflow input is:
    """yaml
    n: 90
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 90
    """
    And it should take PT90S

  Scenario: An expression that yields no duration
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: '${ .n }'}
    """
    And given the workflow input is:
    """yaml
    n: soon
    """
    When the workflow is executed
    Then the workflow should fault with an expression error at /do/0/rest

  Scenario: A zero duration
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: PT0S}
    - go: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    x: 1
    """
    And it should take PT0S

  Scenario: Across a restart
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: PT2H}
    - go: {call: note}
    """
    When the workflow is executed until it waits
    And it is restored from its log
    And it continues
    Then the workflow should complete with output:
    """yaml
    {}
    """
    And the calls should be:
    """yaml
    - note {}
    """
    And it should take PT2H

  Scenario: A wait longer than the timeout
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: wait, version: '0.1.0'}
    do:
    - rest: {wait: P1D, timeout: {after: PT1H}}
    """
    When the workflow is executed
    Then the workflow should fault with a timeout error at /do/0/rest
    And it should take PT1H
