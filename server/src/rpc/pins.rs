//! `PinService`, as the contract has it. `GetPins` and `WatchPins` are answered by [`super::pulls`] with the same bytes, made
//! once.

use std::pin::Pin;

use futures_util::Stream;
use pinion_proto::v1::pin_service_server::PinService;
use pinion_proto::v1::{
    ExplainPinsRequest, ExplainPinsResponse, GetPinsRequest, GetPinsResponse, WatchPinsRequest,
    WatchPinsResponse,
};
use tonic::{Request, Response, Status};

use super::{Rpc, wire};

#[tonic::async_trait]
impl PinService for Rpc {
    async fn get_pins(
        &self,
        request: Request<GetPinsRequest>,
    ) -> Result<Response<GetPinsResponse>, Status> {
        let caller = self.caller(&request)?;
        let GetPinsRequest {
            pin_set,
            etag,
            baseline,
        } = request.into_inner();
        let query = wire::query(&pin_set, etag, baseline)?;
        let answer = self.controller.pins(&caller, &query)?;
        Ok(Response::new(wire::pins(&answer)))
    }

    type WatchPinsStream = Pin<Box<dyn Stream<Item = Result<WatchPinsResponse, Status>> + Send>>;

    async fn watch_pins(
        &self,
        request: Request<WatchPinsRequest>,
    ) -> Result<Response<Self::WatchPinsStream>, Status> {
        let secret = self.secret(&request);
        let WatchPinsRequest { pin_set, etag } = request.into_inner();
        let mut query = wire::query(&pin_set, etag, false)?;
        // A wrong token or pin set is refused at once, not on the stream.
        self.controller
            .pins(&self.controller.identify(secret.as_deref())?, &query)?;
        let controller = self.controller.clone();
        let mut changes = controller.pin_changes();
        let stream = async_stream(move |sender| async move {
            loop {
                // The token is looked at again each time, so that a revoked one is told nothing more.
                let answer = controller
                    .identify(secret.as_deref())
                    .and_then(|caller| controller.pins(&caller, &query));
                match answer {
                    Ok(answer) if !answer.unchanged => {
                        query.etag.clone_from(&answer.combination.etag);
                        let pins = Some(wire::pins(&answer));
                        if sender.send(Ok(WatchPinsResponse { pins })).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(refusal) => {
                        // Nobody may be listening any more.
                        let _ = sender.send(Err(refusal.into())).await;
                        return;
                    }
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(stream))
    }

    async fn explain_pins(
        &self,
        request: Request<ExplainPinsRequest>,
    ) -> Result<Response<ExplainPinsResponse>, Status> {
        let caller = self.caller(&request)?;
        let ExplainPinsRequest {
            pin_set,
            package,
            environment,
        } = request.into_inner();
        let pin_set = wire::optional("pin_set", &pin_set)?;
        let environment = wire::optional("environment", &environment)?;
        let explained =
            self.controller
                .explain(&caller, pin_set.as_ref(), &package, environment.as_ref())?;
        Ok(Response::new(wire::explained(&explained)))
    }
}

/// A stream of what a task sends; the task ends when nobody listens.
pub(super) fn async_stream<T, F, Fut>(
    task: F,
) -> Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>
where
    T: Send + 'static,
    F: FnOnce(tokio::sync::mpsc::Sender<Result<T, Status>>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(task(sender));
    Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
}
