Feature: Compensation
  What was done is undone in reverse, once, when the execution does not complete.

  Scenario: After a fault
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {call: pay}
    """
    And calls of pay fail 1 times with status 402
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/2/pay
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - pay {}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: Not when it completes
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {call: pay}
    """
    When the workflow is executed
    Then the workflow should complete
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - pay {}
    """

  Scenario: A compensation that fails does not stop the others
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {call: pay}
    """
    And calls of pay fail 1 times with status 402
    And calls of unbook fail 1 times with status 500
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/2/pay
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - pay {}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: After a cancel
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {wait: P1D}
    """
    When the workflow is executed until it waits
    And it is cancelled
    And it is executed on
    Then the workflow should be cancelled
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: Over a restart
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {wait: P1D}
    """
    When the workflow is executed until it waits
    And it is cancelled
    And it is taken up again from its log
    And it is executed on
    Then the workflow should be cancelled
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: A fault that is caught undoes nothing
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - flight: {call: book, with: {what: flight}, metadata: {compensate: [{noFlight: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - hotel: {call: book, with: {what: hotel}, metadata: {compensate: [{noHotel: {call: unbook, with: {what: '${ $compensate.output.what }'}}}]}}
    - pay: {try: [{p: {call: pay}}], catch: {do: [{c: {set: {ok: true}}}]}}
    """
    And calls of pay fail 1 times with status 402
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ok: true
    """

  Scenario: Tasks of a compensation are checked
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - a: {set: {x: 1}, metadata: {compensate: [{b: {set: {y: 1}, then: z}}]}}
    """
    Then the definition should be refused as reference at /do/0/a/metadata/compensate/0/b/then
