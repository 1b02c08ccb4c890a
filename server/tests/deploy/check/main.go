// Command check holds the files of deploy/ against what will read them: the published types of Kubernetes, the library
// behind `docker compose config`, the parser of BuildKit, the collector of OpenTelemetry, the types of Grafana. It
// prints what they understood, as JSON, for the test that runs it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: check kubernetes|objects|compose|dockerfile|collector|dashboard PATH")
	}
	checks := map[string]func(string) (any, error){
		"kubernetes": kubernetes,
		"objects":    objects,
		"compose":    compose,
		"dockerfile": dockerfile,
		"collector":  collector,
		"dashboard":  dashboardModel,
	}
	check, known := checks[arguments[0]]
	if !known {
		return fmt.Errorf("there is no check `%s`", arguments[0])
	}
	understood, err := check(arguments[1])
	if err != nil {
		return fmt.Errorf("%s: %w", arguments[1], err)
	}
	return json.NewEncoder(os.Stdout).Encode(understood)
}
