//! `NoticeService`.

use pinion_proto::v1 as proto;
use pinion_proto::v1::notice_service_server::NoticeService;
use pinion_proto::v1::{
    ListNoticesRequest, ListNoticesResponse, ListRoutesRequest, ListRoutesResponse,
    TestRouteRequest, TestRouteResponse,
};
use tonic::{Request, Response, Status};

use super::page::part;
use super::{Rpc, wire};
use crate::controller::{NoticeFilter, RouteListing, Tested};
use crate::store::records::{Delivery, DeliveryState, NoticeRecord};

#[tonic::async_trait]
impl NoticeService for Rpc {
    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        let caller = self.caller(&request)?;
        let ListNoticesRequest {
            pin_set,
            state,
            page_size,
            page_token,
        } = request.into_inner();
        let part = part(page_size, &page_token, 100)?;
        let filter = NoticeFilter {
            pin_set: wire::optional("pin_set", &pin_set)?,
            state,
        };
        let notices = self.controller.list_notices(&caller, &filter)?;
        let (notices, next_page_token) = part.of(notices);
        Ok(Response::new(ListNoticesResponse {
            notices: notices.iter().map(|record| from_record(record)).collect(),
            next_page_token,
        }))
    }

    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<ListRoutesResponse>, Status> {
        let caller = self.caller(&request)?;
        let routes = self.controller.list_routes(&caller)?;
        Ok(Response::new(ListRoutesResponse {
            routes: routes.into_iter().map(from_listing).collect(),
        }))
    }

    async fn test_route(
        &self,
        request: Request<TestRouteRequest>,
    ) -> Result<Response<TestRouteResponse>, Status> {
        let caller = self.caller(&request)?;
        let name = wire::name("name", &request.into_inner().name)?;
        let Tested { is_sent, answer } = self.controller.test_route(&caller, &name).await?;
        Ok(Response::new(TestRouteResponse {
            sent: is_sent,
            answer,
        }))
    }
}

fn from_record(record: &NoticeRecord) -> proto::Notice {
    let NoticeRecord {
        id,
        notice,
        deliveries,
    } = record;
    let pinion_core::notice::Notice {
        kind,
        at,
        pin_set,
        rollout,
        actor,
        subject,
        lines,
        ways,
        changes: _,
        link,
    } = notice;
    let text = |name: Option<String>| name.unwrap_or_default();
    proto::Notice {
        id: id.to_string(),
        kind: kind.to_string(),
        time: Some(wire::from_timestamp(*at)),
        pin_set: text(pin_set.as_ref().map(ToString::to_string)),
        rollout: text(rollout.as_ref().map(ToString::to_string)),
        actor: actor.clone(),
        subject: subject.clone(),
        lines: lines.clone(),
        ways: ways.clone(),
        link: text(link.clone()),
        deliveries: deliveries.iter().map(from_delivery).collect(),
    }
}

fn from_delivery(delivery: &Delivery) -> proto::Delivery {
    let Delivery {
        route,
        state,
        tries,
        last_answer,
    } = delivery;
    let time = match state {
        DeliveryState::Waiting { next_try } => *next_try,
        DeliveryState::Sent { at }
        | DeliveryState::Refused { at }
        | DeliveryState::GivenUp { at }
        | DeliveryState::Dropped { at } => *at,
    };
    proto::Delivery {
        route: route.to_string(),
        state: state.as_str().to_owned(),
        tries: *tries,
        last_answer: last_answer.clone(),
        time: Some(wire::from_timestamp(time)),
    }
}

fn from_listing(listing: RouteListing) -> proto::Route {
    let RouteListing {
        route,
        waiting,
        failed,
    } = listing;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let patterns = |patterns: &[pinion_core::notice::Pattern]| {
        patterns.iter().map(ToString::to_string).collect()
    };
    proto::Route {
        name: route.name.to_string(),
        kind: route.kind.to_owned(),
        target: route.sender.target().to_owned(),
        events: patterns(&route.events),
        pin_sets: patterns(&route.pin_sets),
        waiting_count: count(waiting),
        failed_count: count(failed),
    }
}
