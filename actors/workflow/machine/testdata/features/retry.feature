Feature: Retry
  A try is retried according to its policy.

  Scenario: Until it succeeds
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, limit: {attempt: {count: 5}}}
    """
    And calls of ask fail 2 times with status 503
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {}
    """
    And it should take PT2S
    And the calls should be:
    """yaml
    - ask {}
    - ask {}
    - ask {}
    """

  Scenario: Until the attempts are exhausted
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, limit: {attempt: {count: 2}}}
    """
    And calls of ask fail 9 times with status 503
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/attempt/try/0/ask
    And the calls should be:
    """yaml
    - ask {}
    - ask {}
    - ask {}
    """

  Scenario: An error that is not caught is not retried
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, limit: {attempt: {count: 2}}}
    """
    And calls of ask fail 9 times with status 404
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/attempt/try/0/ask
    And the calls should be:
    """yaml
    - ask {}
    """

  Scenario: Exponential backoff with a maximum delay
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, backoff: {exponential: {factor: 3, maxDelay: PT5S}}, limit: {attempt: {count: 5}}}
    """
    And calls of ask fail 3 times with status 503
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {}
    """
    And it should take PT9S

  Scenario: Linear backoff
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, backoff: {linear: {increment: PT2S}}, limit: {attempt: {count: 5}}}
    """
    And calls of ask fail 3 times with status 503
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {}
    """
    And it should take PT9S

  Scenario: With a total duration
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT2S, limit: {duration: PT5S}}
    """
    And calls of ask fail 9 times with status 503
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/attempt/try/0/ask
    And the calls should be:
    """yaml
    - ask {}
    - ask {}
    - ask {}
    """

  Scenario: With a condition
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {when: $error.status == 503, exceptWhen: .stop, delay: PT1S, limit: {attempt: {count: 9}}}
    """
    And given the workflow input is:
    """yaml
    stop: true
    """
    And calls of ask fail 1 times with status 503
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/attempt/try/0/ask
    And the calls should be:
    """yaml
    - ask {}
    """

  Scenario: A handler after the last attempt
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: {delay: PT1S, limit: {attempt: {count: 1}}}
          do: [{give: {set: {up: '${ $error.status }'}}}]
    """
    And calls of ask fail 9 times with status 503
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    up: 503
    """
    And the calls should be:
    """yaml
    - ask {}
    - ask {}
    """

  Scenario: A named policy
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    use: {retries: {twice: {delay: PT1S, limit: {attempt: {count: 2}}}}}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: twice
    """
    And calls of ask fail 2 times with status 503
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {}
    """

  Scenario: An undefined policy
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: retry, version: '0.1.0'}
    do:
    - attempt:
        try:
        - ask: {call: ask}
        catch:
          errors: {with: {status: 503}}
          retry: twice
    """
    Then the definition should be rejected as reference at /do/0/attempt/catch/retry
