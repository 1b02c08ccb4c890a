//! Delivery figures on the wire.

use pinion_core::figures::{Delivery, Figures, Spread};
use pinion_proto::v1 as proto;

use super::{Unreadable, from_duration, optional, to_duration, to_timestamp};
use crate::controller::FiguresQuery;

pub(crate) fn figures_query(request: proto::GetFiguresRequest) -> Result<FiguresQuery, Unreadable> {
    let proto::GetFiguresRequest {
        pin_set,
        package,
        over,
        until,
    } = request;
    Ok(FiguresQuery {
        pin_set: optional("pin_set", &pin_set)?,
        package: (!package.is_empty()).then_some(package),
        over: over.map(|over| to_duration("over", over)).transpose()?,
        until: until
            .map(|until| to_timestamp("until", until))
            .transpose()?,
    })
}

pub(crate) fn delivery(delivery: &Delivery) -> proto::GetFiguresResponse {
    let Delivery {
        whole,
        by_pin_set,
        by_package,
    } = delivery;
    proto::GetFiguresResponse {
        whole: Some(figures(whole)),
        by_pin_set: by_pin_set
            .iter()
            .map(|(name, figures)| named(name.to_string(), figures))
            .collect(),
        by_package: by_package
            .iter()
            .map(|(name, figures)| named(name.clone(), figures))
            .collect(),
    }
}

fn named(name: String, of: &Figures) -> proto::NamedFigures {
    proto::NamedFigures {
        name,
        figures: Some(figures(of)),
    }
}

fn figures(figures: &Figures) -> proto::Figures {
    let Figures {
        completed,
        rolled_back,
        aborted,
        superseded,
        per_week,
        lead_time,
        published,
        time_to_roll_back,
        time_to_restore,
        not_back,
        failure_share,
    } = figures;
    proto::Figures {
        completed: *completed,
        rolled_back: *rolled_back,
        aborted: *aborted,
        superseded: *superseded,
        per_week: *per_week,
        lead_time: Some(spread(lead_time)),
        published: *published,
        time_to_roll_back: Some(spread(time_to_roll_back)),
        time_to_restore: Some(spread(time_to_restore)),
        not_back: *not_back,
        failure_share: *failure_share,
    }
}

fn spread(spread: &Spread) -> proto::Spread {
    let Spread {
        median,
        p90,
        known,
        unknown,
    } = spread;
    proto::Spread {
        median: median.map(from_duration),
        p90: p90.map(from_duration),
        known: *known,
        unknown: *unknown,
    }
}
