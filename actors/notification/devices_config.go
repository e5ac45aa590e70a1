package notification

import "github.com/weftmesh/weft/mesh"

// DevicesConfig bounds the devices that get push messages.
type DevicesConfig struct {
	// MaxPerUser is how many devices a user may have.
	MaxPerUser int `koanf:"max_per_user"`
}

func defaultDevicesConfig() DevicesConfig { return DevicesConfig{MaxPerUser: 20} }

func (c DevicesConfig) check() error {
	return mesh.SettingBetween("notification.devices.max_per_user", c.MaxPerUser, 1, 1000)
}
