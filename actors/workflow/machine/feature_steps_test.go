package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cucumber/godog"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// registerOwn registers the steps that the conformance kit does not have.
func (s *scenario) registerOwn(steps *godog.ScenarioContext) {
	steps.Step(`^these events arrive:$`, s.eventsArrive)
	steps.Step(`^the secret (\w+) is:$`, s.secret)
	steps.Step(`^the workflow (\w+) returns:$`, s.workflowReturns)
	steps.Step(`^calls of (\w+) fail (\d+) times with status (\d+)$`, s.callsFail)
	steps.Step(`^the workflow is executed until it waits$`, s.untilItWaits)
	steps.Step(`^it continues$`, s.continues)
	steps.Step(`^it is cancelled$`, s.cancel)
	steps.Step(`^it is restored from its log$`, s.restored)
	steps.Step(`^the workflow should be (\w+)$`, s.is)
	steps.Step(`^the workflow should fault with an? (\w+) error at (.+)$`, s.faultsAt)
	steps.Step(`^the definition should be rejected as (\w+) at (\S+)$`, s.rejected)
	steps.Step(`^it should take (\S+)$`, s.takes)
	steps.Step(`^the calls should be:$`, s.callsAre)
	steps.Step(`^the events emitted should be:$`, s.emittedAre)
	steps.Step(`^the log should not contain (\S+)$`, s.logIsFreeOf)
}

func (s *scenario) eventsArrive(text *godog.DocString) error {
	value, err := readYAML(text.Content)
	list, _ := value.([]any)
	for _, item := range list {
		event, _ := item.(map[string]any)
		event["id"], event["source"] = language.Text(event["id"]), "test"
		s.driver.messages = append(s.driver.messages, event)
	}
	return err
}

func (s *scenario) secret(name string, text *godog.DocString) error {
	value, err := readYAML(text.Content)
	s.driver.env.Secrets = fixed(map[string]any{name: value})
	return err
}

func (s *scenario) workflowReturns(name string, text *godog.DocString) (err error) {
	s.returns[name], err = readYAML(text.Content)
	return err
}

func (s *scenario) callsFail(name string, times, status int) error {
	s.failures[name] = &failure{times, status}
	return nil
}

func (s *scenario) untilItWaits() error {
	if s.input == nil {
		s.input = map[string]any{}
	}
	s.execution = s.driver.start(s.input)
	for s.execution.Status() == Running {
		s.driver.step(s.execution)
	}
	return s.is(string(Waiting))
}

func (s *scenario) continues() error {
	s.driver.finish(s.execution)
	return nil
}

func (s *scenario) cancel() error {
	s.driver.append(s.execution.Handle(Cancel("requested by the scenario", s.driver.now)))
	return nil
}

func (s *scenario) restored() (err error) {
	s.execution, err = Restore(s.driver.def, s.driver.env, s.driver.log)
	return err
}

func (s *scenario) is(status string) error {
	if got := s.execution.Status(); string(got) != status {
		return fmt.Errorf("the execution is %s: %w", got, s.execution.Fault())
	}
	return nil
}

func (s *scenario) faultsAt(kind, at string) error {
	if err := s.faults(); err != nil {
		return err
	}
	fault := s.execution.Fault()
	if at == "the workflow" {
		at = ""
	}
	if standardName(fault.Type) != kind || fault.Instance != at {
		return fmt.Errorf("the fault is %w at %q", fault, fault.Instance)
	}
	return nil
}

func (s *scenario) rejected(code, pointer string) error {
	if len(s.faulty) != 1 || s.faulty[0].Code != code || s.faulty[0].Pointer != pointer || s.faulty[0].Line < 2 {
		return fmt.Errorf("the faults are %w", s.faulty)
	}
	return nil
}

func (s *scenario) takes(text string) error {
	want, err := language.ParseDuration(text)
	if took := s.driver.now.Sub(epoch); err == nil && took != want {
		return fmt.Errorf("the execution took %s, want %s", took, want)
	}
	return err
}

func (s *scenario) callsAre(text *godog.DocString) error {
	value, err := readYAML(text.Content)
	if err != nil {
		return err
	}
	list, _ := value.([]any)
	want := make([]string, len(list))
	for i, item := range list {
		want[i] = language.Text(item)
	}
	if !slices.Equal(s.made, want) {
		return fmt.Errorf("calls %q, want %q", s.made, want)
	}
	return nil
}

func (s *scenario) emittedAre(text *godog.DocString) error { return equal(s.emitted, text.Content) }

func (s *scenario) logIsFreeOf(text string) error {
	if strings.Contains(string(language.Canonical(s.driver.log)), text) {
		return fmt.Errorf("the log contains %s", text)
	}
	return nil
}
