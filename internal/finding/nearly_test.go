package finding

import "testing"

func TestSlipsOfThePenAreNearlyTheSame(t *testing.T) {
	for _, typed := range []string{"restart_singal", "restart-signal", "Restart_Signal", "restart_signl", "restart_signals"} {
		if !Nearly(typed, "restart_signal") {
			t.Errorf("%s is taken for another word", typed)
		}
	}
	for typed, name := range map[string]string{"user": "count", "web": "worker", "wob": "web", "restart_on_deploy": "restart_signal", "": "web"} {
		if Nearly(typed, name) {
			t.Errorf("%s is taken for %s", typed, name)
		}
	}
}
