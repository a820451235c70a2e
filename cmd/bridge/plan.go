package main

type planCmd struct{}

func (planCmd) Run(e *env) error { return nil }
