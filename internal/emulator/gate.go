package emulator

// Ban answers 403 on every path, the token endpoint included, until Lift.
func (a *Account) Ban() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.Ban()
}

// Lift ends a ban, as support does.
func (a *Account) Lift() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.Lift()
}

// Banned reports whether the account answers 403 to everything.
func (a *Account) Banned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.Banned()
}

// SetUnpaid makes the account answer 402: from level 1 to writes, from level 2
// to reads as well; 0 means paid (amocrm-api.md §3).
func (a *Account) SetUnpaid(level int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Unpaid = level
}

// Inject puts a fault to work; of several that match the first one injected acts.
func (a *Account) Inject(f Fault) *Injected { return a.faults.Inject(f) }

// Report returns a copy of what the referee has written down so far.
func (a *Account) Report() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.referee.Report()
}

// ResetReport forgets what was written down, but not the running second.
func (a *Account) ResetReport() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.referee.Reset()
}
