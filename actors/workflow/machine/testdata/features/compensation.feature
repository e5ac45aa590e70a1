Feature: Compensation
  Completed tasks are compensated once, in reverse order, if the execution does not complete.

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

  Scenario: No compensation when the execution completes
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

  Scenario: A failed compensation does not stop the others
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

  Scenario: After a cancellation
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
    And it continues
    Then the workflow should be cancelled
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: Across a restart
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
    And it is restored from its log
    And it continues
    Then the workflow should be cancelled
    And the calls should be:
    """yaml
    - book {"what":"flight"}
    - book {"what":"hotel"}
    - unbook {"what":"hotel"}
    - unbook {"what":"flight"}
    """

  Scenario: A caught fault compensates nothing
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

  Scenario: The tasks of a compensation are validated
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: compensation, version: '0.1.0'}
    do:
    - a: {set: {x: 1}, metadata: {compensate: [{b: {set: {y: 1}, then: z}}]}}
    """
    Then the definition should be rejected as reference at /do/0/a/metadata/compensate/0/b/then
