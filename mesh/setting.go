package mesh

import (
	"cmp"
	"fmt"
	"slices"
)

// SettingError reports a setting with an invalid value. The Check method of a Config returns one for each such setting.
type SettingError struct {
	// Setting is the setting's path in the configuration, such as auth.bcrypt_cost.
	Setting string
	// Problem continues the sentence that Setting begins: "is 3, and must be between 4 and 16".
	Problem string
}

// Error names the setting and says what is wrong with its value.
func (e *SettingError) Error() string { return e.Setting + " " + e.Problem }

// InvalidSetting returns a SettingError; format and args make its Problem. Texts and errors among args are masked by MaskURL, because a
// setting that is refused may be a URL with a password.
func InvalidSetting(setting, format string, args ...any) error {
	args = slices.Clone(args)
	for i, arg := range args {
		switch value := arg.(type) {
		case string:
			args[i] = MaskURL(value)
		case Secret:
			args[i] = value.String()
		case error:
			args[i] = MaskURL(value.Error())
		}
	}
	return &SettingError{Setting: setting, Problem: fmt.Sprintf(format, args...)}
}

// SettingAtLeast returns a SettingError if value is less than least, else nil.
func SettingAtLeast[T cmp.Ordered](setting string, value, least T) error {
	if value >= least {
		return nil
	}
	return InvalidSetting(setting, "is %v, and must be at least %v", value, least)
}

// SettingBetween returns a SettingError if value is less than least or more than most, else nil.
func SettingBetween[T cmp.Ordered](setting string, value, least, most T) error {
	if value >= least && value <= most {
		return nil
	}
	return InvalidSetting(setting, "is %v, and must be between %v and %v", value, least, most)
}

// SettingPositive returns a SettingError if value is zero or negative, else nil.
func SettingPositive[T ~int | ~int64](setting string, value T) error {
	if value > 0 {
		return nil
	}
	return InvalidSetting(setting, "is %v, and must be positive", value)
}
