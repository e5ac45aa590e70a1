Feature: Emit Task
  An event is published with the attributes that CloudEvents requires, and is the output of its task.

  Scenario: With data
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: emit, version: '0.1.0'}
    do:
    - tell: {emit: {event: {with: {source: 'https://shop.test', type: order.placed, data: {id: '${ .id }'}}}}, output: {as: .data}}
    """
    And given the workflow input is:
    """yaml
    id: 7
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    id: 7
    """
    And the events emitted should be:
    """yaml
    - {specversion: '1.0', id: e1/0/tell, source: 'https://shop.test', type: order.placed, time: '2026-11-01T12:00:00Z', datacontenttype: application/json, data: {id: 7}}
    """

  Scenario: With the required attributes only
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: emit, version: '0.1.0'}
    do:
    - tell: {emit: {event: {with: {type: ping}}}}
    - end: {set: {ok: true}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ok: true
    """
    And the events emitted should be:
    """yaml
    - {specversion: '1.0', id: e1/0/tell, source: 'urn:weft:workflow:test:emit:0.1.0', type: ping, time: '2026-11-01T12:00:00Z'}
    """

  Scenario: In a loop, each event has its own id
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: emit, version: '0.1.0'}
    do:
    - each: {for: {in: '[1, 2]'}, do: [{tell: {emit: {event: {with: {type: ping, subject: '${ "no \($item)" }'}}}, output: {as: .id}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    e1/0/each[1]/0/tell
    """

  Scenario: Without a type
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: emit, version: '0.1.0'}
    do:
    - tell: {emit: {event: {with: {source: x}}}}
    """
    Then the definition should be rejected as missing at /do/0/tell/emit/event/with

  Scenario: With a failing expression
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: emit, version: '0.1.0'}
    do:
    - tell: {emit: {event: {with: {type: ping, data: '${ .n + {} }'}}}}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should fault with an expression error at /do/0/tell
