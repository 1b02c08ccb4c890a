//! What a run reports: only rollouts whose candidate really took.

use pinion_client::v1::{self, Ecosystem, Outcome};

use super::checkout::{Checkout, has};

#[test]
fn a_run_reports_the_rollouts_whose_candidate_took_and_no_other() {
    if !has(&["uv", "git"]) {
        return;
    }
    let checkout = Checkout::with(&[("requirements.txt", "six\nidna\n")]);
    checkout.run("uv", &["venv", "--quiet"]);
    checkout.run(
        "uv",
        &["pip", "install", "--quiet", "six==1.15.0", "idna==3.7"],
    );
    let pin = |package: &str, version: &str| v1::Pin {
        package: package.into(),
        version: version.into(),
        marker: String::new(),
    };
    let exposure = |rollout: &str, package: &str, to: &str| v1::Exposure {
        rollout: rollout.into(),
        changes: vec![v1::PackageChange {
            package: package.into(),
            to_version: to.into(),
            ..Default::default()
        }],
    };
    checkout.stub.serve(v1::GetPinsResponse {
        etag: "e1".into(),
        revision: 7,
        pins: vec![
            pin("six", "1.15.0"),
            pin("idna", "3.6"),
            pin("attrs", "23.1.0"),
        ],
        rollouts: ["ro-six", "ro-idna", "ro-attrs"].map(str::to_owned).into(),
        exposures: vec![
            exposure("ro-six", "six", "1.15.0"),
            exposure("ro-idna", "idna", "3.6"),
            exposure("ro-attrs", "attrs", "23.1.0"),
        ],
        pin_set: "nova".into(),
        ecosystem: Ecosystem::Pypi.into(),
        ..Default::default()
    });
    checkout.pinions(&["sync"]);
    let ran = checkout.pinions(&["run", "true"]);
    assert!(
        ran.err
            .contains("warning: idna 3.6 did not take, 3.7 is there"),
        "{ran:?}"
    );
    let reports = checkout.stub.heard(|heard| heard.reports.clone());
    let passed = reports
        .iter()
        .find(|report| report.outcome() == Outcome::Passed);
    assert_eq!(passed.expect("reported").rollouts, ["ro-six"]);
}
