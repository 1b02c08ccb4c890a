//! `ForgeService`.

use pinion_proto::v1 as proto;
use pinion_proto::v1::forge_service_server::ForgeService;
use pinion_proto::v1::{
    CheckForgeRequest, CheckForgeResponse, ListForgesRequest, ListForgesResponse,
};
use tonic::{Request, Response, Status};

use super::wire::Unreadable;
use super::{Rpc, wire};
use crate::controller::ForgeListing;
use crate::forge::{Finding, Target};

#[tonic::async_trait]
impl ForgeService for Rpc {
    async fn list_forges(
        &self,
        request: Request<ListForgesRequest>,
    ) -> Result<Response<ListForgesResponse>, Status> {
        let caller = self.caller(&request)?;
        let forges = self.controller.list_forges(&caller)?;
        Ok(Response::new(ListForgesResponse {
            forges: forges.into_iter().map(from_listing).collect(),
        }))
    }

    async fn check_forge(
        &self,
        request: Request<CheckForgeRequest>,
    ) -> Result<Response<CheckForgeResponse>, Status> {
        let caller = self.caller(&request)?;
        let CheckForgeRequest { name, branch, path } = request.into_inner();
        let name = wire::name("name", &name)?;
        let target = match (branch.is_empty(), path.is_empty()) {
            (true, true) => None,
            (false, false) => Some(Target { branch, path }),
            _ => {
                return Err(
                    Unreadable::new("path", "give both `branch` and `path`, or neither").into(),
                );
            }
        };
        let findings = self.controller.check_forge(&caller, &name, target).await?;
        Ok(Response::new(CheckForgeResponse {
            findings: findings.into_iter().map(from_finding).collect(),
        }))
    }
}

fn from_listing(listing: ForgeListing) -> proto::Forge {
    let ForgeListing {
        name,
        kind,
        project,
        pin_sets,
        open_filings,
    } = listing;
    let mut pin_sets: Vec<String> = pin_sets.iter().map(ToString::to_string).collect();
    pin_sets.dedup();
    proto::Forge {
        name: name.to_string(),
        kind,
        project,
        pin_sets,
        open_filing_count: u32::try_from(open_filings).unwrap_or(u32::MAX),
    }
}

pub(super) fn from_finding(finding: Finding) -> proto::Finding {
    let Finding { what, found } = finding;
    let works = found.is_ok();
    let words = match found {
        Ok(words) | Err(words) => words,
    };
    proto::Finding { what, works, words }
}
