package main

import "errors"

type demoCmd struct{}

func (demoCmd) Run(e *env) error { return errors.New("not yet") }
