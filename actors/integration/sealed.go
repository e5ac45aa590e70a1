package integration

import "github.com/weftmesh/weft/actors/seal"

// Sealed are the columns with sealed values, for seal.Rotation.
var Sealed = []seal.Column{
	sealedConnection("credentials"), sealedConnection("tokens"), sealedHook("secret"), sealedHook("old_secret"), sealedObject(), sealedApproval(),
}

func sealedConnection(column string) seal.Column {
	return seal.Column{
		Table: "connections", Column: column, Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte {
			return connectionContext(&connectionRow{ID: values[0], UserID: values[1]}, column)
		},
	}
}

func sealedHook(column string) seal.Column {
	return seal.Column{
		Table: "hooks", Column: column, Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte { return hookContext(&hookRow{ID: values[0], UserID: values[1]}) },
	}
}

func sealedObject() seal.Column {
	return seal.Column{
		Table: "objects", Column: "data_key", Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte { return objectContext(values[1], values[0]) },
	}
}

func sealedApproval() seal.Column {
	return seal.Column{
		Table: "agent_approvals", Column: "input", Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte {
			return agentApprovalContext(&agentApprovalRow{ID: values[0], UserID: values[1]})
		},
	}
}
