//! pip, uv in its place, and uv projects.

use pinion_client::v1::Ecosystem;

use super::checkout::{Checkout, has};

const PROJECT: &str = "[project]\nname = \"app\"\nversion = \"0.1.0\"\nrequires-python = \">=3.9\"\ndependencies = [\"six<1.17\", \"idna\"]\n";

/// A checkout with a virtual environment that has pip.
fn with_pip() -> Option<Checkout> {
    if !has(&["python3", "git"]) {
        return None;
    }
    let checkout = Checkout::with(&[("requirements.txt", "six\nidna\n")]);
    // The interpreter itself: a shim in the search path may choose by the directory.
    let find = ["-c", "import sys; print(sys.executable)"];
    let python = checkout.run("python3", &find);
    checkout.run(python.trim(), &["-m", "venv", ".venv"]);
    Some(checkout)
}

#[test]
fn pip_installs_the_pins_and_no_file_of_the_checkout_changes() {
    let Some(checkout) = with_pip() else {
        return;
    };
    let before = checkout.commit();
    checkout.pin(
        Ecosystem::Pypi,
        &[("Six", "1.15.0"), ("idna", "3.6"), ("attrs", "23.1.0")],
    );
    let synced = checkout.pinions(&["sync"]);
    assert!(synced.err.contains("the tool is pip"), "{synced:?}");
    let file = checkout.state_file("constraints.txt").expect("written");
    let file = file.display();
    assert_eq!(
        synced.out,
        format!("export PIP_CONSTRAINT={file}\nexport UV_CONSTRAINT={file}\n")
    );
    assert_eq!(checkout.pinions(&["env"]).out, synced.out);
    let json = checkout.pinions(&["env", "--shell", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["PIP_CONSTRAINT"], file.to_string());

    let python = checkout.path(".venv/bin/python").display().to_string();
    let install = [
        "exec",
        "--",
        &python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "-r",
        "requirements.txt",
    ];
    let installed = checkout.pinions(&install);
    assert!(
        installed
            .err
            .contains("of the pins 2 took, 0 did not, 1 are"),
        "{installed:?}"
    );
    assert_eq!(
        checkout.verified(),
        (vec!["Six".to_owned(), "idna".to_owned()], vec![])
    );
    checkout.is_as(&before);
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
    assert_eq!(checkout.pinion(&["env"]).code, 1);
}

#[test]
fn a_bound_of_another_package_is_the_reason_why_a_pin_did_not_take() {
    let Some(checkout) = with_pip() else {
        return;
    };
    let python = checkout.path(".venv/bin/python").display().to_string();
    checkout.run(
        &python,
        &["-m", "pip", "install", "--quiet", "requests==2.25.1"],
    );
    checkout.pin(Ecosystem::Pypi, &[("idna", "3.6")]);
    checkout.pinions(&["sync"]);
    let (took, missed) = checkout.verified();
    assert_eq!(took, Vec::<String>::new());
    assert_eq!(missed[0].0, "idna");
    assert!(
        missed[0].1.starts_with("`requests` needs idna"),
        "{missed:?}"
    );
    // pip itself refuses to break it.
    let install = [
        "exec",
        "--",
        &python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "requests==2.25.1",
        "idna",
    ];
    let refused = checkout.pinion(&install);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(
        refused.err.contains("warning: idna 3.6 did not take"),
        "{refused:?}"
    );
}

#[test]
fn uv_pip_takes_the_same_file() {
    if !has(&["uv", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("requirements.txt", "six\nidna\n")]);
    checkout.run("uv", &["venv", "--quiet"]);
    let before = checkout.commit();
    checkout.pin(Ecosystem::Pypi, &[("six", "1.15.0"), ("idna", "3.6")]);
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced
            .err
            .contains("the tool is uv-pip, by .venv/pyvenv.cfg"),
        "{synced:?}"
    );
    let install = [
        "exec",
        "--",
        "uv",
        "pip",
        "install",
        "--quiet",
        "-r",
        "requirements.txt",
    ];
    checkout.pinions(&install);
    assert_eq!(checkout.verified().0, ["six", "idna"]);
    checkout.is_as(&before);
}

#[test]
fn a_uv_project_is_locked_to_the_pins_that_it_admits() {
    if !has(&["uv", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("pyproject.toml", PROJECT)]);
    checkout.run("uv", &["lock", "--quiet"]);
    let before = checkout.commit();
    checkout.pin(Ecosystem::Pypi, &[("six", "1.17.0"), ("idna", "3.6")]);
    let synced = checkout.pinions(&["sync"]);
    assert!(
        synced.err.contains("the tool is uv, by uv.lock"),
        "{synced:?}"
    );
    assert!(
        synced.err.contains("warning: six 1.17.0 did not take"),
        "{synced:?}"
    );
    assert!(synced.err.contains("six<1.17"), "{synced:?}");
    assert_eq!(checkout.status(), " M uv.lock\n");
    assert_eq!(checkout.verified().0, ["idna"]);
    let print = "import importlib.metadata as m; print(m.version('idna'))";
    let ran = checkout.run("uv", &["run", "--quiet", "python", "-c", print]);
    assert_eq!(ran, "3.6\n");
    checkout.pinions(&["undo"]);
    checkout.is_as(&before);
}

#[test]
fn one_command_in_a_uv_project_has_the_pins() {
    if !has(&["uv", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("pyproject.toml", PROJECT)]);
    checkout.run("uv", &["lock", "--quiet"]);
    let before = checkout.commit();
    checkout.pin(Ecosystem::Pypi, &[("six", "1.15.0")]);
    checkout.pinions(&["sync", "--no-apply"]);
    let print = "import six; print(six.__version__)";
    let ran = checkout.pinions(&["exec", "--", "uv", "run", "--quiet", "python", "-c", print]);
    assert_eq!(ran.out, "1.15.0\n", "{ran:?}");
    assert!(ran.err.contains("restored"), "{ran:?}");
    checkout.is_as(&before);
}
