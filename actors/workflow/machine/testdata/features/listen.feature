Feature: Listen Task
  A listener consumes each matching event once and runs its tasks for it.

  Scenario: One event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {one: {with: {type: order.paid}}}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: order.placed, data: {n: 1}}
    - {id: 2, type: order.paid, data: {n: 2}}
    - {id: 3, type: order.paid, data: {n: 3}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - {n: 2}
    """

  Scenario: A redelivered event is consumed once
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [{with: {type: tick}}], until: '(. | length) == 3'}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: tick, data: 1}
    - {id: 1, type: tick, data: 1}
    - {id: 2, type: tick, data: 2}
    - {id: 1, type: tick, data: 1}
    - {id: 3, type: tick, data: 3}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, 2, 3]
    """

  Scenario: Any of several events
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [{with: {type: a}}, {with: {type: b}}]}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: c, data: 0}
    - {id: 2, type: b, data: 1}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1]
    """

  Scenario: All of several events, in any order, each once
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {all: [{with: {type: a}}, {with: {type: b}}]}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: b, data: 1}
    - {id: 2, type: b, data: 2}
    - {id: 3, type: a, data: 3}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, 3]
    """

  Scenario: All of several correlated events
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen:
          to:
            all:
            - {with: {type: a}, correlate: {room: {from: .room}}}
            - {with: {type: b}, correlate: {room: {from: .room}}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, room: x, data: 1}
    - {id: 2, type: b, room: y, data: 2}
    - {id: 3, type: b, room: x, data: 3}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, 3]
    """

  Scenario: An event that correlates with the input
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {one: {with: {type: a}, correlate: {order: {from: .order, expect: '${ .id }'}}}}}
    """
    And given the workflow input is:
    """yaml
    id: 7
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, order: 6, data: six}
    - {id: 2, type: a, data: none}
    - {id: 3, type: a, order: 7, data: seven}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [seven]
    """

  Scenario: A filter with an expression or a regular expression
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [{with: {type: 'temp\..+', data: '${ . > 38 }'}}], until: '(. | length) == 2'}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: temp.a, data: 37}
    - {id: 2, type: temp.b, data: 39}
    - {id: 3, type: bpm, data: 150}
    - {id: 4, type: temp.c, data: 41}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [39, 41]
    """

  Scenario: Until another event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [{with: {type: a}}], until: {one: {with: {type: stop}}}}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, data: 1}
    - {id: 2, type: a, data: 2}
    - {id: 3, type: stop}
    - {id: 4, type: a, data: 4}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, 2]
    """

  Scenario: Tasks for each event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [], until: '(. | length) == 2'}, read: envelope}
        foreach:
          item: event
          at: i
          do:
          - note: {call: note, with: {no: '${ $i }', of: '${ $event.type }'}}
          output: {as: .of}
          export: {as: '{last: .}'}
    - tell: {set: {types: '${ . }', last: '${ $context.last }'}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a}
    - {id: 2, type: b}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {types: [a, b], last: b}
    """
    And the calls should be:
    """yaml
    - note {"no":0,"of":"a"}
    - note {"no":1,"of":"b"}
    """

  Scenario: Exit ends the listener
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [], until: '${ false }'}}
        foreach:
          do:
          - enough: {if: $item == 2, set: {x: 1}, then: exit}
    - after: {set: {gone: on}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, data: 1}
    - {id: 2, type: a, data: 2}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    gone: on
    """

  Scenario: A fault in the tasks of an event
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await:
        listen: {to: {any: [], until: '${ false }'}}
        foreach:
          do:
          - bad: {raise: {error: {type: urn:bad, status: 418, title: Bad}}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, data: 1}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: urn:bad
    status: 418
    title: Bad
    instance: /do/0/await/foreach/do/0/bad
    """

  Scenario: Data as text
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await: {listen: {to: {one: {with: {type: a}}}, read: raw}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: a, data: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ['{"x":1}']
    """

  Scenario: No event arrives
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - await: {listen: {to: {one: {with: {type: a}}}}}
    """
    And these events arrive:
    """yaml
    - {id: 1, type: b}
    """
    When the workflow is executed
    Then the workflow should be waiting

  Scenario: No event arrives before the timeout
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: listen, version: '0.1.0'}
    do:
    - guard:
        try:
        - await: {listen: {to: {one: {with: {type: a}}}}, timeout: {after: {hours: 1}}}
        catch: {errors: {with: {status: 408}}, do: [{late: {set: {late: true}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    late: true
    """
    And it should take PT1H
