//! Environments on the wire.

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::resolve::Hold;
use pinion_core::version::Version;
use pinion_proto::v1 as proto;

use super::{Unreadable, from_timestamp, name, optional};
use crate::controller::{Enrolment, EnvironmentChange};
use crate::store::records::EnvironmentRecord;

pub(crate) fn enrolment(request: proto::EnrollRequest) -> Result<Enrolment, Unreadable> {
    let proto::EnrollRequest {
        pin_set,
        reporting,
        draw_key,
        platform,
        repeats,
    } = request;
    Ok(Enrolment {
        pin_set: name("pin_set", &pin_set)?,
        reporting,
        draw_key: optional("draw_key", &draw_key)?,
        platform: optional("platform", &platform)?,
        repeats,
    })
}

/// The change that a request asks for; holds are read in the environment's own ecosystem.
pub(crate) fn change(
    request: proto::UpdateEnvironmentRequest,
    ecosystem: Ecosystem,
) -> Result<EnvironmentChange, Unreadable> {
    let proto::UpdateEnvironmentRequest {
        id: _,
        reporting,
        replace_holds,
        holds,
        draw_key,
        repeats,
        replace_volunteers,
        volunteers,
    } = request;
    if !replace_holds && !holds.is_empty() {
        return Err(Unreadable::new(
            "holds",
            "set `replace_holds` too: they take the place of all holds",
        ));
    }
    if !replace_volunteers && !volunteers.is_empty() {
        return Err(Unreadable::new(
            "volunteers",
            "set `replace_volunteers` too: they take the place of all packages it volunteers for",
        ));
    }
    let volunteers = volunteers
        .iter()
        .map(|package| {
            PackageName::parse(ecosystem, package)
                .map_err(|error| Unreadable::new("volunteers", error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let holds = holds
        .into_iter()
        .map(|hold| to_hold(hold, ecosystem))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(EnvironmentChange {
        reporting,
        holds: replace_holds.then_some(holds),
        volunteers: replace_volunteers.then_some(volunteers),
        draw_key: draw_key.map(|key| optional("draw_key", &key)).transpose()?,
        repeats,
    })
}

fn to_hold(hold: proto::Hold, ecosystem: Ecosystem) -> Result<Hold, Unreadable> {
    let proto::Hold { package, version } = hold;
    let read = |text: &str| {
        Version::parse(ecosystem, text).map_err(|error| Unreadable::new("holds.version", error))
    };
    Ok(Hold {
        package: PackageName::parse(ecosystem, &package)
            .map_err(|error| Unreadable::new("holds.package", error))?,
        version: (!version.is_empty()).then(|| read(&version)).transpose()?,
    })
}

pub(crate) fn environment(record: &EnvironmentRecord) -> proto::Environment {
    let EnvironmentRecord {
        id,
        pin_set,
        ordinal: _,
        draw_key,
        reporting,
        repeats,
        platform,
        holds,
        volunteers,
        token: _,
        created_at,
    } = record;
    proto::Environment {
        id: id.to_string(),
        pin_set: pin_set.to_string(),
        reporting: *reporting,
        draw_key: draw_key
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        platform: platform
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        holds: holds.iter().map(from_hold).collect(),
        create_time: Some(from_timestamp(*created_at)),
        repeats: *repeats,
        volunteers: volunteers
            .iter()
            .map(|package| package.written().to_owned())
            .collect(),
    }
}

fn from_hold(hold: &Hold) -> proto::Hold {
    let Hold { package, version } = hold;
    proto::Hold {
        package: package.written().to_owned(),
        version: version
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}
