//! Go, with a workspace file outside the checkout.

use pinion_client::v1::Ecosystem;

use super::checkout::{Checkout, has};

const MODULE: &str = "module example.com/app\n\ngo 1.18\n\nrequire (\n\tgithub.com/google/uuid v1.5.0\n\trsc.io/quote v1.5.2\n)\n";
const MAIN: &str = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"github.com/google/uuid\"\n\t\"rsc.io/quote\"\n)\n\nfunc main() { fmt.Println(uuid.Nil, quote.Hello()) }\n";

fn app() -> Checkout {
    let checkout = Checkout::with(&[("go.mod", MODULE), ("main.go", MAIN)]);
    checkout.run("go", &["mod", "tidy"]);
    checkout
}

#[test]
fn modules_go_up_and_down_and_no_file_of_the_checkout_changes() {
    if !has(&["go", "git"]) {
        return;
    }
    let checkout = app();
    let before = checkout.commit();
    // Down below what go.mod requires, up, and a module that only another one requires.
    let pins = [
        ("github.com/google/uuid", "v1.3.0"),
        ("rsc.io/sampler", "v1.3.1"),
        ("example.com/unused", "v1.0.0"),
    ];
    checkout.pin(Ecosystem::Go, &pins);
    let synced = checkout.pinions(&["sync"]);
    let work = checkout.state_file("go.work").expect("beside");
    assert_eq!(synced.out, format!("export GOWORK={}\n", work.display()));
    checkout.is_as(&before);
    let (took, missed) = checkout.verified();
    assert_eq!(took, ["github.com/google/uuid", "rsc.io/sampler"]);
    assert_eq!(missed, []);

    let list = [
        "exec",
        "--",
        "go",
        "list",
        "-deps",
        "-f",
        "{{with .Module}}{{.Replace}}{{end}}",
        ".",
    ];
    let built = checkout.pinions(&list);
    assert!(
        built.out.contains("github.com/google/uuid v1.3.0"),
        "{built:?}"
    );
    checkout.pinions(&["exec", "--", "go", "vet", "."]);
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn a_module_that_the_project_replaces_itself_stays_so() {
    if !has(&["go", "git"]) {
        return;
    }
    let checkout = app();
    let replace = "-replace=github.com/google/uuid=github.com/google/uuid@v1.4.0";
    checkout.run("go", &["mod", "edit", replace]);
    checkout.run("go", &["mod", "tidy"]);
    let before = checkout.commit();
    checkout.pin(Ecosystem::Go, &[("github.com/google/uuid", "v1.3.0")]);
    checkout.pinions(&["sync"]);
    let why = "the project itself replaces the module".to_owned();
    let missed = vec![("github.com/google/uuid".to_owned(), why)];
    assert_eq!(checkout.verified(), (vec![], missed));
    checkout.is_as(&before);
}

#[test]
fn the_project_s_own_workspace_keeps_its_modules() {
    if !has(&["go", "git"]) {
        return;
    }
    let checkout = app();
    checkout.write("lib/go.mod", "module example.com/lib\n\ngo 1.18\n");
    checkout.write("lib/lib.go", "package lib\n");
    checkout.write("go.work", "go 1.18\n\nuse (\n\t.\n\t./lib\n)\n");
    let before = checkout.commit();
    checkout.pin(Ecosystem::Go, &[("github.com/google/uuid", "v1.3.0")]);
    checkout.pinions(&["sync"]);
    let modules = checkout.pinions(&["exec", "--", "go", "list", "-m"]);
    assert_eq!(modules.out, "example.com/app\nexample.com/lib\n");
    assert_eq!(checkout.verified().0, ["github.com/google/uuid"]);
    // As a shell that evaluated the sync's lines: the generated file is not taken for the project's own.
    let work = checkout.state_file("go.work").expect("beside");
    let mut again = checkout.command(env!("CARGO_BIN_EXE_pinion"), &["undo"]);
    assert!(again.env("GOWORK", &work).status().expect("runs").success());
    let mut again = checkout.command(env!("CARGO_BIN_EXE_pinion"), &["sync"]);
    assert!(again.env("GOWORK", &work).status().expect("runs").success());
    assert!(
        std::fs::read_to_string(&work)
            .expect("readable")
            .contains("/lib\n")
    );
    checkout.is_as(&before);
}
