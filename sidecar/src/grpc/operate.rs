//! What is asked of a node as a whole: by operators who look after its restores, and by an application that is done.

use std::num::NonZeroU64;

use outrigger_proto::Rpc;
use outrigger_proto::v1::{
    CancelRequest, CancelResponse, ContinueRequest, ContinueResponse, ErrorDetail, ReleaseResponse,
    ThrottleRequest, ThrottleResponse,
};

use super::door::Asker;
use super::error;
use super::service::Service;
use super::stores::Stores;
use crate::access::Keys;

pub(super) async fn throttle(
    service: &Service,
    asker: &Asker,
    request: ThrottleRequest,
) -> Result<ThrottleResponse, ErrorDetail> {
    // It is of all stores together.
    let stores = service.stores.all().iter();
    stores
        .map(|store| store.handle.name())
        .try_for_each(|name| asker.may(Rpc::Throttle, name, Keys::All))?;
    let rate = rate(request)?;
    service.throttle.set(rate).await.map_err(|rejection| error::of_rejection(&rejection))?;
    let by = asker.told();
    match rate {
        Some(rate) => tracing::info!(by, bytes_per_second = rate, "an operator throttles restores"),
        None => tracing::info!(by, "an operator ends the throttling of restores"),
    }
    Ok(ThrottleResponse {})
}

pub(super) async fn cancel(
    stores: &Stores,
    asker: &Asker,
    request: CancelRequest,
) -> Result<CancelResponse, ErrorDetail> {
    let store = stores.one(&request.store)?;
    asker.may(Rpc::Cancel, store.handle.name(), Keys::All)?;
    store.handle.cancel().await.map_err(|rejection| error::of_rejection(&rejection))?;
    tracing::info!(
        store = store.handle.name(),
        by = asker.told(),
        "an operator cancels the restore"
    );
    Ok(CancelResponse {})
}

pub(super) async fn go_on(
    stores: &Stores,
    asker: &Asker,
    request: ContinueRequest,
) -> Result<ContinueResponse, ErrorDetail> {
    let store = stores.one(&request.store)?;
    asker.may(Rpc::Continue, store.handle.name(), Keys::All)?;
    store.handle.continue_restore().await.map_err(|rejection| error::of_rejection(&rejection))?;
    tracing::info!(
        store = store.handle.name(),
        by = asker.told(),
        "an operator lets the restore continue"
    );
    Ok(ContinueResponse {})
}

pub(super) fn release(service: &Service, asker: &Asker) -> Result<ReleaseResponse, ErrorDetail> {
    let stores = service.stores.all().iter().map(|store| store.handle.name());
    asker.may_begin_one(Rpc::Release, stores)?;
    let stopping = service.release.give();
    tracing::info!(stopping, by = asker.told(), "the application is done");
    Ok(ReleaseResponse { stopping })
}

fn rate(request: ThrottleRequest) -> Result<Option<NonZeroU64>, ErrorDetail> {
    let Some(bytes) = request.bytes_per_second else { return Ok(None) };
    let zero =
        || error::invalid_request("a rate of 0 would never end", "cancel the restore instead");
    NonZeroU64::new(bytes).map(Some).ok_or_else(zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_is_none_and_a_rate_of_nothing_is_refused() {
        let rate = |bytes_per_second| rate(ThrottleRequest { bytes_per_second });
        assert_eq!(rate(None), Ok(None));
        assert_eq!(rate(Some(7)), Ok(NonZeroU64::new(7)));
        assert!(rate(Some(0)).unwrap_err().what_to_do.contains("cancel"));
    }
}
