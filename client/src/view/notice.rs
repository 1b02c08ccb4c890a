//! Notices in words and tables.

use pinion_client::v1;

use crate::table::Table;
use crate::times::show_time;

/// Notices, the subject of each with a line for every route.
pub(crate) fn notices(notices: &[v1::Notice]) -> String {
    let mut text = String::new();
    for notice in notices {
        let v1::Notice {
            kind,
            time,
            subject,
            deliveries,
            ..
        } = notice;
        text.push_str(&format!(
            "{}  {kind}  {subject}\n",
            show_time(time.as_ref())
        ));
        for delivery in deliveries {
            text.push_str(&format!("    {}\n", how(delivery)));
        }
    }
    text
}

/// How a notice is on a route, in words.
fn how(delivery: &v1::Delivery) -> String {
    let v1::Delivery {
        route,
        state,
        tries,
        last_answer,
        time,
    } = delivery;
    let at = show_time(time.as_ref());
    let state = match (state.as_str(), tries) {
        ("waiting", 0) => "waits for its first try".to_owned(),
        ("waiting", 1) => format!("waits after 1 try, next {at}"),
        ("waiting", tries) => format!("waits after {tries} tries, next {at}"),
        ("given-up", tries) => format!("given up after {tries} tries, {at}"),
        (state, 0 | 1) => format!("{state} {at}"),
        (state, tries) => format!("{state} {at}, try {tries}"),
    };
    match last_answer.as_str() {
        "" => format!("{route}: {state}"),
        answer => format!("{route}: {state}; {answer}"),
    }
}

/// Routes as a table.
pub(crate) fn routes(routes: &[v1::Route]) -> Table {
    let mut table = Table::new([
        "NAME", "KIND", "TO", "WAITING", "FAILED", "PIN SETS", "EVENTS",
    ]);
    for route in routes {
        table.row([
            route.name.clone(),
            route.kind.clone(),
            route.target.clone(),
            route.waiting_count.to_string(),
            route.failed_count.to_string(),
            route.pin_sets.join(", "),
            route.events.join(", "),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_a_notice_says_how_it_is() {
        let delivery = |state: &str, tries, answer: &str| v1::Delivery {
            route: "ops".to_owned(),
            state: state.to_owned(),
            tries,
            last_answer: answer.to_owned(),
            time: Some(prost_types::Timestamp::default()),
        };
        let at = show_time(Some(&prost_types::Timestamp::default()));
        for (delivery, words) in [
            (
                delivery("waiting", 0, ""),
                "ops: waits for its first try".to_owned(),
            ),
            (
                delivery("waiting", 2, "answered 503"),
                format!("ops: waits after 2 tries, next {at}; answered 503"),
            ),
            (
                delivery("sent", 1, "answered 200"),
                format!("ops: sent {at}; answered 200"),
            ),
        ] {
            assert_eq!(how(&delivery), words);
        }
    }
}
