Feature: Run Task
  A workflow runs another one, and awaits it by default.

  Scenario: With its output
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - child: {run: {workflow: {namespace: test, name: greet, version: 1.0.0, input: {who: '${ .name }'}}}, output: {as: .said}}
    """
    And given the workflow input is:
    """yaml
    name: Ada
    """
    And the workflow greet returns:
    """yaml
    said: hello
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    hello
    """
    And the calls should be:
    """yaml
    - greet 1.0.0 {"who":"Ada"}
    """

  Scenario: With its fault
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - child:
        try: [{run: {run: {workflow: {namespace: test, name: greet, version: latest}}}}]
        catch: {do: [{c: {set: {status: '${ $error.status }'}}}]}
    """
    And calls of greet fail 1 times with status 404
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    status: 404
    """

  Scenario: Without awaiting it
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - child: {run: {await: false, workflow: {namespace: test, name: greet, version: 1.0.0}}}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    And the workflow greet returns:
    """yaml
    said: hello
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """

  Scenario: Shell is not supported
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - a: {run: {shell: {command: ls}}}
    """
    Then the definition should be rejected as unsupported at /do/0/a/run/shell

  Scenario: Script is not supported
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - a: {run: {script: {language: js, code: "1"}}}
    """
    Then the definition should be rejected as unsupported at /do/0/a/run/script

  Scenario: Container is not supported
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: run, version: '0.1.0'}
    do:
    - a: {run: {container: {image: alpine}}}
    """
    Then the definition should be rejected as unsupported at /do/0/a/run/container
