package main

type testCmd struct{}

func (testCmd) Run(e *env) error { return nil }
