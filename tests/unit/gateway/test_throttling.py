"""Token buckets, one by one and by their keys."""

from lamington.core.aws import Scope
from lamington.core.clock import ManualClock
from lamington.gateway.throttling import Buckets, TokenBucket


def taken(bucket: TokenBucket, tries: int = 1000) -> int:
    return sum(bucket.take() for _ in range(tries))


async def test_bucket_fills_again_at_its_rate() -> None:
    clock = ManualClock()
    bucket = TokenBucket(clock, 10.0, 5)
    assert taken(bucket) == 5
    await clock.advance(0.3)
    assert taken(bucket) == 3
    await clock.advance(100)
    assert taken(bucket) == 5


def test_rate_or_burst_of_zero_lets_nothing_through() -> None:
    clock = ManualClock()
    assert taken(TokenBucket(clock, 0.0, 5)) == 0
    assert taken(TokenBucket(clock, 5.0, 0)) == 0


def test_token_given_back_can_be_taken_again() -> None:
    bucket = TokenBucket(ManualClock(), 1.0, 1)
    assert bucket.take()
    bucket.give_back()
    assert bucket.take()
    assert not bucket.take()


def test_limits_change_in_place_and_spent_tokens_stay_spent() -> None:
    bucket = TokenBucket(ManualClock(), 10.0, 10)
    for _ in range(8):
        bucket.take()
    bucket.change(100.0, 20)
    assert taken(bucket) == 12


def test_smaller_bucket_holds_no_more_than_its_size() -> None:
    bucket = TokenBucket(ManualClock(), 10.0, 100)
    bucket.change(10.0, 3)
    assert taken(bucket) == 3


def test_blocked_bucket_is_full_when_it_is_opened() -> None:
    bucket = TokenBucket(ManualClock(), 0.0, 0)
    bucket.change(1.0, 4)
    assert taken(bucket) == 4
    bucket.change(0.0, 4)
    assert taken(bucket) == 0


def test_key_keeps_its_bucket_and_its_spent_tokens() -> None:
    buckets = Buckets(ManualClock())
    assert taken(buckets.bucket(("stage", "a"), 1.0, 4)) == 4
    assert taken(buckets.bucket(("stage", "a"), 1.0, 6)) == 2
    buckets.forget("stage", "a")
    assert taken(buckets.bucket(("stage", "a"), 1.0, 4)) == 4


def test_each_account_and_region_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(ManualClock(), account_rate=1.0, account_burst=2)
    here = buckets.account(Scope(account_id="111111111111", region="eu-west-1"))
    there = buckets.account(Scope(account_id="111111111111", region="us-east-1"))
    assert here is not None
    assert there is not None
    assert taken(here) == 2
    assert taken(there) == 2
    assert here is buckets.account(Scope(account_id="111111111111", region="eu-west-1"))


def test_account_rate_of_zero_limits_no_account() -> None:
    assert Buckets(ManualClock(), account_rate=0.0).account(Scope()) is None
