// Command healthcheck asks the bridge whether it is alive, for images that have
// no shell: exit status 0 if /healthz answers 200, else 1. The address may be
// given; the default is that of the container's config.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

const (
	address = "http://127.0.0.1:9090/healthz"
	timeout = 3 * time.Second
)

func main() {
	url := address
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if err := check(url); err != nil {
		fmt.Fprintln(os.Stderr, "healthcheck:", err)
		os.Exit(1)
	}
}

// check reports why the address does not answer 200.
func check(url string) error {
	client := http.Client{Timeout: timeout}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
