//! `IndexService`.

use pinion_proto::v1 as proto;
use pinion_proto::v1::index_service_server::IndexService;
use pinion_proto::v1::{
    CheckIndexRequest, CheckIndexResponse, ListIndexesRequest, ListIndexesResponse,
};
use tonic::{Request, Response, Status};

use super::forges::from_finding;
use super::{Rpc, wire};
use crate::controller::IndexListing;

#[tonic::async_trait]
impl IndexService for Rpc {
    async fn list_indexes(
        &self,
        request: Request<ListIndexesRequest>,
    ) -> Result<Response<ListIndexesResponse>, Status> {
        let caller = self.caller(&request)?;
        let indexes = self.controller.list_indexes(&caller)?;
        Ok(Response::new(ListIndexesResponse {
            indexes: indexes.into_iter().map(from_listing).collect(),
        }))
    }

    async fn check_index(
        &self,
        request: Request<CheckIndexRequest>,
    ) -> Result<Response<CheckIndexResponse>, Status> {
        let caller = self.caller(&request)?;
        let CheckIndexRequest { ecosystem, package } = request.into_inner();
        let ecosystem = wire::to_ecosystem(ecosystem)?;
        let check = self.controller.check_index(&caller, ecosystem, &package);
        Ok(Response::new(CheckIndexResponse {
            findings: check.await?.into_iter().map(from_finding).collect(),
        }))
    }
}

fn from_listing(listing: IndexListing) -> proto::Index {
    let IndexListing {
        ecosystem,
        url,
        pin_sets,
        problem,
    } = listing;
    proto::Index {
        ecosystem: wire::from_ecosystem(ecosystem).into(),
        url,
        pin_sets: pin_sets.iter().map(ToString::to_string).collect(),
        problem,
    }
}
