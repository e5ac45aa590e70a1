package mesh

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// setting is one field of a stream's or durable's configuration C that weft decides.
type setting[C any] struct {
	// name is that of JetStream's API.
	name string
	get  func(*C) any
	// keep copies the field.
	keep func(to, from *C)
	// lowers reports whether want stores fewer copies, keeps less or for a shorter time than is. Nil means never.
	lowers func(is, want *C) bool
	// fixed reports whether the server refuses to change the field. Nil means never.
	fixed func(is, want *C) bool
}

// field is a setting of the field that at returns.
func field[C, T any](name string, at func(*C) *T) setting[C] {
	return setting[C]{
		name: name,
		get:  func(c *C) any { return *at(c) },
		keep: func(to, from *C) { *at(to) = *at(from) },
	}
}

// limit is a field for which a value up to 0 means no limit.
func limit[C any, T ~int | ~int32 | ~int64](name string, at func(*C) *T) setting[C] {
	s := field(name, at)
	s.lowers = func(is, want *C) bool { return *at(want) > 0 && (*at(is) <= 0 || *at(want) < *at(is)) }
	plain := s.get
	s.get = func(c *C) any { // 0 and -1 mean the same
		if *at(c) <= 0 {
			return "unlimited"
		}
		return plain(c)
	}
	return s
}

// amount is a field whose smaller values mean less, down to 0.
func amount[C any, T ~int | ~int64](name string, at func(*C) *T) setting[C] {
	s := field(name, at)
	s.lowers = func(is, want *C) bool { return *at(want) < *at(is) }
	return s
}

// immutable marks a setting that the server never changes.
func immutable[C any](s setting[C]) setting[C] {
	s.fixed = func(_, _ *C) bool { return true }
	return s
}

// stays marks a setting that the server does not change back from true.
func stays[C any](s setting[C]) setting[C] {
	s.fixed = func(is, _ *C) bool { return s.get(is) == true }
	return s
}

func (s setting[C]) equal(is, want *C) bool { return reflect.DeepEqual(s.get(is), s.get(want)) }

// refuses reports whether the change lowers the setting and lower does not name it.
func (s setting[C]) refuses(is, want *C, lower []string) bool {
	return s.lowers != nil && s.lowers(is, want) && !slices.Contains(lower, s.name)
}

func (s setting[C]) difference(is, want *C, kept string) Difference {
	return Difference{Setting: s.name, Is: textOf(s.get(is)), Want: textOf(s.get(want)), Kept: kept}
}

func textOf(value any) string {
	if text, ok := value.(string); ok && text == "" {
		return "none"
	}
	if d, ok := value.(time.Duration); ok {
		return d.String()
	}
	return fmt.Sprint(value)
}

type (
	streamConfig   = jetstream.StreamConfig
	consumerConfig = jetstream.ConsumerConfig
)

var replicasSetting = amount("replicas", func(c *streamConfig) *int { return &c.Replicas })

// streamSettings are the fields of a stream that weft decides.
var streamSettings = []setting[streamConfig]{
	replicasSetting,
	field("description", func(c *streamConfig) *string { return &c.Description }),
	subjectsSetting(),
	retentionSetting(),
	immutable(field("storage", func(c *streamConfig) *jetstream.StorageType { return &c.Storage })),
	immutable(field("persist_mode", func(c *streamConfig) *jetstream.PersistModeType { return &c.PersistMode })),
	limit("max_age", func(c *streamConfig) *time.Duration { return &c.MaxAge }),
	limit("max_bytes", func(c *streamConfig) *int64 { return &c.MaxBytes }),
	limit("max_msgs", func(c *streamConfig) *int64 { return &c.MaxMsgs }),
	limit("max_msgs_per_subject", func(c *streamConfig) *int64 { return &c.MaxMsgsPerSubject }),
	limit("max_msg_size", func(c *streamConfig) *int32 { return &c.MaxMsgSize }),
	limit("max_consumers", func(c *streamConfig) *int { return &c.MaxConsumers }),
	amount("duplicate_window", func(c *streamConfig) *time.Duration { return &c.Duplicates }),
	amount("subject_delete_marker_ttl", func(c *streamConfig) *time.Duration { return &c.SubjectDeleteMarkerTTL }),
	discardSetting(),
	field("allow_rollup_hdrs", func(c *streamConfig) *bool { return &c.AllowRollup }),
	stays(field("deny_delete", func(c *streamConfig) *bool { return &c.DenyDelete })),
	stays(field("deny_purge", func(c *streamConfig) *bool { return &c.DenyPurge })),
	field("allow_direct", func(c *streamConfig) *bool { return &c.AllowDirect }),
	stays(field("allow_msg_ttl", func(c *streamConfig) *bool { return &c.AllowMsgTTL })),
}

// subjectsSetting compares the subjects as sets. Without one that it has, a stream would no longer store what is published there.
func subjectsSetting() setting[streamConfig] {
	s := field("subjects", func(c *streamConfig) *[]string { return &c.Subjects })
	s.get = func(c *streamConfig) any { return slices.Sorted(slices.Values(c.Subjects)) }
	s.lowers = func(is, want *streamConfig) bool {
		return slices.ContainsFunc(is.Subjects, func(subject string) bool { return !slices.Contains(want.Subjects, subject) })
	}
	s.keep = func(to, from *streamConfig) {
		to.Subjects = slices.Compact(slices.Sorted(slices.Values(slices.Concat(to.Subjects, from.Subjects))))
	}
	return s
}

// retentionSetting ranks limits above the other policies, which drop a message once consumers have acknowledged it.
func retentionSetting() setting[streamConfig] {
	s := field("retention", func(c *streamConfig) *jetstream.RetentionPolicy { return &c.Retention })
	s.lowers = func(is, want *streamConfig) bool {
		return is.Retention == jetstream.LimitsPolicy && want.Retention != jetstream.LimitsPolicy
	}
	s.fixed = func(is, want *streamConfig) bool {
		return is.Retention == jetstream.WorkQueuePolicy || want.Retention == jetstream.WorkQueuePolicy
	}
	return s
}

// discardSetting ranks refusing new messages above dropping old ones.
func discardSetting() setting[streamConfig] {
	s := field("discard", func(c *streamConfig) *jetstream.DiscardPolicy { return &c.Discard })
	s.lowers = func(is, want *streamConfig) bool {
		return is.Discard == jetstream.DiscardNew && want.Discard == jetstream.DiscardOld
	}
	return s
}

// LowerableSettings returns the names of the settings that Target.Lower may name.
func LowerableSettings() []string {
	var names []string
	for _, s := range streamSettings {
		if s.lowers != nil {
			names = append(names, s.name)
		}
	}
	return names
}

// consumerSettings are the fields of a durable that weft decides.
var consumerSettings = []setting[consumerConfig]{
	field("replicas", func(c *consumerConfig) *int { return &c.Replicas }),
	field("filter_subject", func(c *consumerConfig) *string { return &c.FilterSubject }),
	field("filter_subjects", func(c *consumerConfig) *[]string { return &c.FilterSubjects }),
	immutable(field("ack_policy", func(c *consumerConfig) *jetstream.AckPolicy { return &c.AckPolicy })),
	immutable(field("deliver_policy", func(c *consumerConfig) *jetstream.DeliverPolicy { return &c.DeliverPolicy })),
	field("ack_wait", func(c *consumerConfig) *time.Duration { return &c.AckWait }),
	field("max_ack_pending", func(c *consumerConfig) *int { return &c.MaxAckPending }),
	field("max_deliver", func(c *consumerConfig) *int { return &c.MaxDeliver }),
}
