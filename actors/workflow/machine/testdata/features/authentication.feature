Feature: Authentication
  A request carries the credentials of its policy.

  Scenario: Basic
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/basic-auth/ada/secret1', authentication: {basic: {username: ada, password: secret1}}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, user: ada}
    """

  Scenario: Basic with a wrong password
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/basic-auth/ada/secret1', authentication: {basic: {username: ada, password: nope}}}}}
    """
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/get

  Scenario: Basic from a secret
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/basic-auth/ada/secret1', authentication: {basic: {use: s}}}}}
    """
    And the secret s is:
    """yaml
    {username: ada, password: secret1}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, user: ada}
    """

  Scenario: From a secret that is not set
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    use: {secrets: [s]}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/basic-auth/ada/secret1', authentication: {basic: {use: s}}}}}
    """
    When the workflow is executed
    Then the workflow should fault with a authorization error at /do/0/get

  Scenario: Bearer
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {bearer: {token: '${ .t }'}}}}}
    """
    And given the workflow input is:
    """yaml
    t: open
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, token: open}
    """

  Scenario: A reusable policy
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    use: {authentications: {p: {bearer: {token: open}}}}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {use: p}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, token: open}
    """

  Scenario: Digest
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/digest-auth/auth/ada/secret1', authentication: {digest: {username: ada, password: secret1}}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, user: ada}
    """

  Scenario: Digest with a wrong password
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/digest-auth/auth/ada/secret1', authentication: {digest: {username: ada, password: nope}}}}}
    """
    When the workflow is executed
    Then the workflow should fault with a communication error at /do/0/get

  Scenario: OAuth 2.0
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {oauth2: {authority: 'https://keycloak.test/realms/r', endpoints: {token: /token}, grant: client_credentials, client: {id: weft, secret: s3cret}}}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, token: granted}
    """

  Scenario: OAuth 2.0 with rejected credentials
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {oauth2: {authority: 'https://keycloak.test/realms/r', endpoints: {token: /token}, grant: client_credentials, client: {id: weft, secret: wrong}}}}}}
    """
    When the workflow is executed
    Then the workflow should fault with an authentication error at /do/0/get

  Scenario: OpenID Connect
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {oidc: {authority: 'https://keycloak.test/realms/r', grant: client_credentials, client: {id: weft, secret: s3cret, authentication: client_secret_basic}}}}}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {authenticated: true, token: granted}
    """

  Scenario: An undefined policy
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: test, name: authentication, version: '0.1.0'}
    do:
    - get: {call: http, with: {method: get, endpoint: {uri: 'https://httpbin.org/bearer', authentication: {use: p}}}}
    """
    Then the definition should be rejected as reference at /do/0/get/with/endpoint/authentication/use
