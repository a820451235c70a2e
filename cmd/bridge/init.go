package main

type initCmd struct{}

func (initCmd) Run(e *env) error { return nil }
