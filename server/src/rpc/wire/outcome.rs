//! Reports on the wire.

use pinion_core::outcome::{Category, Outcome, Repeat};
use pinion_proto::v1 as proto;
use uuid::Uuid;

use super::{Unreadable, name, optional};
use crate::controller::Report;

/// The longest run id and etag, in bytes.
const ID_BYTES_MAX: usize = 64;

pub(crate) fn reports(request: proto::ReportOutcomesRequest) -> Result<Vec<Report>, Unreadable> {
    let proto::ReportOutcomesRequest { reports } = request;
    let read = |(index, one): (usize, proto::Report)| {
        report(one).map_err(|unreadable| Unreadable {
            field: format!("reports[{index}].{}", unreadable.field),
            ..unreadable
        })
    };
    reports.into_iter().enumerate().map(read).collect()
}

fn report(report: proto::Report) -> Result<Report, Unreadable> {
    let proto::Report {
        report_id,
        run_id,
        outcome,
        category,
        fingerprint,
        pins_etag,
        rollouts,
        repeat,
    } = report;
    for (field, text) in [("run_id", &run_id), ("pins_etag", &pins_etag)] {
        if text.len() > ID_BYTES_MAX {
            return Err(Unreadable::new(
                field,
                format!("{} bytes; at most {ID_BYTES_MAX}", text.len()),
            ));
        }
    }
    let id = Uuid::parse_str(&report_id).map_err(|_| {
        Unreadable::new(
            "report_id",
            "it is no UUID; make one of version 7 for every report",
        )
    })?;
    let outcome = match proto::Outcome::try_from(outcome) {
        Ok(proto::Outcome::Started) => Outcome::Started,
        Ok(proto::Outcome::Passed) => Outcome::Passed,
        Ok(proto::Outcome::Failed) => Outcome::Failed {
            category: to_category(category)?,
            fingerprint: optional("fingerprint", &fingerprint)?,
            repeat: to_repeat(repeat)?,
        },
        Ok(proto::Outcome::Unspecified) | Err(_) => {
            return Err(Unreadable::new(
                "outcome",
                "say which one: started, passed or failed",
            ));
        }
    };
    let rollouts = rollouts
        .iter()
        .map(|id| name("rollouts", id))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Report {
        id,
        outcome,
        rollouts,
    })
}

fn to_repeat(repeat: i32) -> Result<Repeat, Unreadable> {
    match proto::Repeat::try_from(repeat) {
        Ok(proto::Repeat::Unspecified) => Ok(Repeat::NotRepeated),
        Ok(proto::Repeat::Passed) => Ok(Repeat::Passed),
        Ok(proto::Repeat::Failed) => Ok(Repeat::Failed),
        Err(_) => Err(Unreadable::new(
            "repeat",
            "say whether the repetition passed or failed, or leave it out",
        )),
    }
}

pub(super) fn to_category(category: i32) -> Result<Category, Unreadable> {
    match proto::Category::try_from(category) {
        Ok(proto::Category::Install) => Ok(Category::Install),
        Ok(proto::Category::Build) => Ok(Category::Build),
        Ok(proto::Category::Test) => Ok(Category::Test),
        Ok(proto::Category::Crash) => Ok(Category::Crash),
        Ok(proto::Category::Silent) => Err(Unreadable::new(
            "category",
            "`silent` is concluded by the server; report install, build, test or crash",
        )),
        Ok(proto::Category::Unspecified) | Err(_) => Err(Unreadable::new(
            "category",
            "say which one for a failure: install, build, test or crash",
        )),
    }
}
