package main

import (
	"context"

	"github.com/compose-spec/compose-go/v2/cli"
)

// compose reads a file as `docker compose config` does: interpolated, against the schema, with every reference resolved.
func compose(path string) (any, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithResolvedPaths(false))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}
