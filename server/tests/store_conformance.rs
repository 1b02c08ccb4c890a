//! What every store must do, as facts; one line below for each engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "store_conformance/fixtures.rs"]
mod fixtures;
#[path = "store_conformance/leases.rs"]
mod leases;
#[path = "store_conformance/limits.rs"]
mod limits;
#[path = "store_conformance/reading.rs"]
mod reading;
#[path = "store_conformance/shorthand.rs"]
mod shorthand;
#[path = "store_conformance/transactions.rs"]
mod transactions;
#[path = "store_conformance/watching.rs"]
mod watching;

/// Runs every fact on a fresh store of the fixture.
macro_rules! conforms {
    ($engine:ident, $fixture:ty) => {
        mod $engine {
            conforms!(facts transactions, $fixture,
                an_absent_key_can_be_created_once,
                a_put_keeps_created_and_raises_modified,
                a_modified_condition_holds_for_the_last_put_only,
                a_created_condition_holds_until_the_key_is_deleted,
                a_conflict_leaves_nothing,
                a_transaction_happens_in_one_revision,
                a_deleted_key_is_created_anew,
                deleting_an_absent_key_changes_nothing,
                revisions_strictly_rise,
                of_many_creators_exactly_one_wins,
                concurrent_counting_loses_nothing,
                everything_survives_a_restart,
            );
            conforms!(facts reading, $fixture,
                an_empty_value_is_not_absence,
                the_store_has_a_format_and_an_id,
                pages_are_in_key_order_and_say_whether_more_follow,
                a_page_goes_on_after_a_key_that_is_gone,
                a_prefix_is_no_more_and_no_less_than_its_characters,
                a_page_is_of_its_revision,
                an_export_is_complete_and_in_order,
                an_export_is_of_one_revision,
                a_sink_that_refuses_ends_the_export,
            );
            conforms!(facts limits, $fixture,
                the_largest_of_everything_is_accepted,
                each_limit_is_refused_by_name,
                a_refused_transaction_leaves_nothing,
                keys_of_the_engine_cannot_be_written,
            );
            conforms!(facts watching, $fixture,
                a_watcher_sees_what_comes_after_its_revision,
                a_watcher_sees_only_its_prefix,
                a_watcher_sees_whole_transactions_in_order,
                a_watcher_can_read_what_it_was_told,
                a_watcher_from_the_future_is_told_to_resync,
                a_watcher_that_lags_is_told_and_holds_nobody_up,
                a_watcher_after_a_restart_misses_nothing_silently,
            );
            conforms!(facts leases, $fixture,
                a_lease_is_a_key_whose_creation_is_the_token,
                a_lease_has_one_holder_at_a_time,
                leases_of_other_names_do_not_wait,
                a_former_holder_is_fenced,
                who_waits_longest_is_next,
                who_stops_waiting_is_passed_over,
                a_lease_is_free_after_a_restart,
            );
        }
    };
    (facts $module:ident, $fixture:ty, $($fact:ident,)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $fact() {
                    if let Some(mut fixture) = <$fixture as crate::fixtures::Fixture>::start().await {
                        crate::$module::$fact(&mut fixture).await;
                    }
                }
            )*
        }
    };
}

conforms!(memory, crate::fixtures::Memory);
conforms!(sled, crate::fixtures::Sled);
conforms!(etcd, crate::fixtures::Etcd);
