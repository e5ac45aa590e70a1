Feature: Schedule
  A schedule is read with the definition; an invalid one is rejected.

  Scenario: Cron
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule:
      cron: '0 9 * * 1-5'
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    x: 1
    """

  Scenario: At an interval
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule:
      every: {minutes: 15}
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    x: 1
    """

  Scenario: After the last run
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule:
      after: PT1H
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    x: 1
    """

  Scenario: On an event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule:
      on: {one: {with: {type: a.b}}}
      read: envelope
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    x: 1
    """

  Scenario: The event as input
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule: {on: {one: {with: {type: a.b}}}}
    do:
    - a: {set: {n: '${ $workflow.input[0].n }'}}
    """
    And given the workflow input is:
    """yaml
    - {n: 4}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 4
    """

  Scenario: A zero interval
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule: {every: PT0S}
    do:
    - a: {set: {x: 1}}
    """
    Then the definition should be rejected as value at /schedule/every

  Scenario: An unknown field
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule: {every: PT1S, zone: UTC}
    do:
    - a: {set: {x: 1}}
    """
    Then the definition should be rejected as unknown_field at /schedule/zone

  Scenario: An event without a filter
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: schedule, version: '0.1.0'}
    schedule: {on: {one: {}}}
    do:
    - a: {set: {x: 1}}
    """
    Then the definition should be rejected as missing at /schedule/on/one
