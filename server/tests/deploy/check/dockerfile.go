package main

import (
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type instruction struct {
	Name string
	// As it stands in the file.
	Text string
}

type stage struct {
	Name         string
	Base         string
	Instructions []instruction
}

// dockerfile lists the stages of a file as BuildKit understands them.
func dockerfile(path string) (any, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tree, err := parser.Parse(file)
	if err != nil {
		return nil, err
	}
	parsed, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return nil, err
	}
	stages := []stage{}
	for _, each := range parsed {
		found := stage{Name: each.Name, Base: each.BaseName}
		for _, command := range each.Commands {
			text := ""
			if code, has := command.(interface{ String() string }); has {
				text = code.String()
			}
			found.Instructions = append(found.Instructions, instruction{Name: command.Name(), Text: text})
		}
		stages = append(stages, found)
	}
	return stages, nil
}
