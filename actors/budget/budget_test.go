package budget_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/budget"
)

func TestStepsAndBytesAreExhaustedOnce(t *testing.T) {
	t.Parallel()
	b := budget.New(budget.Limits{Steps: 10, Bytes: 100})
	if err := b.Step(10); err != nil {
		t.Fatal(err)
	}
	if err := b.Step(1); !errors.Is(err, budget.ErrSteps) {
		t.Fatalf("got %v, want %v", err, budget.ErrSteps)
	}
	if err := b.Allocate(1000); !errors.Is(err, budget.ErrSteps) {
		t.Fatalf("got %v: the first bound that was reached is reported", err)
	}
	if b.Steps() != 11 {
		t.Errorf("%d steps taken, want 11", b.Steps())
	}
}

func TestTimeIsAFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(budget.Limits{Time: time.Second})
		if err := b.Step(1000); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // virtual time
		if err := b.Step(1000); !errors.Is(err, budget.ErrTime) {
			t.Errorf("got %v, want %v", err, budget.ErrTime)
		}
	})
}

func TestPartsChargeTheWhole(t *testing.T) {
	t.Parallel()
	whole := budget.New(budget.Limits{Steps: 100, Bytes: 100})
	part := whole.Part(budget.Limits{Steps: 60})
	if err := part.Step(61); !errors.Is(err, budget.ErrSteps) {
		t.Fatalf("got %v, want %v", err, budget.ErrSteps)
	}
	part.Close()
	if whole.Err() != nil || whole.Steps() != 61 {
		t.Fatalf("the whole has %v after %d steps: only the part is exhausted", whole.Err(), whole.Steps())
	}
	part = whole.Part(budget.Limits{Steps: 60})
	if err := part.Step(50); !errors.Is(err, budget.ErrSteps) {
		t.Fatalf("got %v: the part has what is left of the whole", err)
	}
	part.Close()
	if !errors.Is(whole.Err(), budget.ErrSteps) {
		t.Errorf("the whole has %v, want %v", whole.Err(), budget.ErrSteps)
	}
	if err := whole.Part(budget.Limits{}).Step(1); !errors.Is(err, budget.ErrSteps) {
		t.Errorf("a part of an exhausted budget has %v, want %v", err, budget.ErrSteps)
	}
	var none *budget.Budget
	if err := none.Part(budget.Limits{}).Step(1 << 40); err != nil {
		t.Errorf("a part of no budget has %v", err)
	}
}
