"""Opposites: pairs of words, and prefixes that turn a word into its opposite.

An opposite counts where one question has a word that the other lacks and the other has its opposite. `COMPLETE` pairs
leave no third way (legal, illegal), so that a negation on the other side makes them agree: "not legal" is "illegal".
"""

from vdb.cache.guard.synonyms import GROUPS
from vdb.cache.guard.words import root

_COMPLETE = """
legal/illegal possible/impossible open/close online/offline on/off in/out enable/disable allow/forbid accept/decline
pass/fail true/false valid/invalid visible/hidden same/different safe/dangerous remember/forget win/lose present/absent
alive/dead full/empty public/private include/exclude approve/decline agree/disagree connect/disconnect lock/unlock
correct/wrong work/broken available/unavailable single/married odd/even complete/incomplete active/inactive
known/unknown equal/unequal guilty/innocent succeed/fail find/lose keep/remove like/dislike trust/distrust
optional/required voluntary/mandatory permanent/temporary employed/unemployed used/unused inside/outside
"""

_PAIRS = """
increase/decrease increase/reduce grow/shrink raise/lower ascend/descend ascending/descending up/down upward/downward
above/below over/under higher/lower high/low tall/short long/short longer/shorter big/small bigger/smaller
larger/smaller more/less more/fewer most/least most/fewest many/few maximum/minimum maximize/minimize best/worst
better/worse good/bad positive/negative advantage/drawback strength/weakness benefit/harm profit/loss gain/lose
add/remove add/subtract plus/minus multiply/divide create/remove insert/remove install/uninstall within/outside
for/against import/export upload/download push/pull deposit/withdraw credit/debit income/expense earn/spend save/spend
save/waste cheap/cost cheapest/cost hire/fire join/leave enter/leave enter/exit arrive/depart arrive/leave
departure/arrival start/end first/last begin/end early/late good/poor earlier/later earliest/last before/after
earlier/next previous/next last/next past/future old/new oldest/newest old/young oldest/youngest ancient/modern
older/newer older/younger new/used day/night morning/evening morning/night sunrise/sunset summer/winter spring/autumn
hot/cold warm/cool warm/cold heat/cool heating/cooling freeze/thaw freeze/melt boil/freeze wet/dry rain/dry light/dark
light/heavy bright/dark black/white thick/thin wide/narrow deep/shallow hard/soft hard/easy rough/smooth sharp/blunt
strong/weak fast/slow faster/slower quickly/slowly accelerate/decelerate loud/quiet rich/poor clean/dirty healthy/sick
happy/sad love/hate war/peace attack/defend attack/defence victory/defeat left/right north/south east/west
northern/southern eastern/western top/bottom upper/lower front/back front/rear forward/backward forward/back
horizontal/vertical horizontally/vertically length/width near/far close/far indoor/outdoor indoors/outdoors
internal/external inner/outer interior/exterior interior/outer import/export inbound/outbound incoming/outgoing
input/output inhale/exhale ingress/egress local/remote local/global domestic/foreign domestic/international
national/international urban/rural encode/decode encrypt/decrypt compress/decompress zip/unzip pack/unpack wrap/unwrap
mount/unmount load/unload subscribe/unsubscribe follow/unfollow mute/unmute block/unblock pin/unpin check/uncheck
select/deselect show/hide hidden/show expand/collapse zoom/shrink open/shut lock/open attach/detach merge/split
combine/split join/split assemble/disassemble build/destroy build/demolish commit/revert upgrade/downgrade
promote/demote rise/fall inflate/deflate inflation/deflation appreciate/depreciate asset/liability bull/bear
bullish/bearish surplus/deficit supply/demand wholesale/retail gross/net fixed/variable prepaid/postpaid
refundable/nonrefundable prefix/suffix head/tail numerator/denominator odd/even prime/composite convex/concave
acute/obtuse sine/cosine integral/derivative integrate/differentiate union/intersection synchronous/asynchronous
sync/async static/dynamic mutable/immutable compile/interpret stateful/stateless read/write lossy/lossless
serial/parallel sequential/parallel horizontal/vertical horizontal/upright abstract/concrete theory/practice acid/base
acidic/alkaline acid/alkali solid/liquid liquid/gas raw/cooked fresh/stale sweet/sour sweet/bitter mild/spicy
vegan/meat animal/plant carnivore/herbivore benign/malignant acute/chronic hypo/hyper systolic/diastolic
dominant/recessive hardware/software left-handed/right-handed uphill/downhill upstairs/downstairs upstream/downstream
uptime/downtime ceiling/floor majority/minority superior/inferior senior/junior major/minor adult/minor
beginner/expert beginner/advanced basic/advanced simple/complex simple/complicated formal/informal rural/urban
optimist/pessimist introvert/extrovert gain/loss win/loss always/never all/none everything/nothing everyone/nobody
peak/trough import/outport clockwise/counterclockwise clockwise/anticlockwise odd/regular common/rare often/rarely
usually/rarely frequent/rare never/often build/break mend/break heal/hurt cure/cause prevent/cause avoid/cause
protect/harm create/destroy tighten/loosen tight/loose stretch/shrink fill/empty fill/drain charge/discharge
charge/drain inhibit/promote suppress/promote stimulate/suppress stimulate/inhibit encourage/discourage support/oppose
support/reject favor/oppose praise/criticize reward/punish guilty/acquitted buy/rent own/rent stay/leave stand/sit
wake/sleep asleep/awake push/pop enqueue/dequeue allocate/free shorten/lengthen sooner/later nearest/farthest
closest/farthest nearest/furthest shallowest/deepest lightest/heaviest
"""

# Two sides of one thing: "where can I buy" is "who sells". These count only where one stands in the other's place.
_SIDES = """
buy/sell lend/borrow borrow/loan send/receive teach/learn give/take come/go push/pull ask/answer win/beat male/female
man/woman boy/girl husband/wife father/mother son/daughter brother/sister uncle/aunt king/queen parent/child
ancestor/descendant teacher/student employer/worker landlord/tenant lessor/tenant seller/buyer vendor/buyer
lender/borrower creditor/debtor winner/loser guest/host client/server master/slave friend/enemy ally/enemy
plaintiff/defendant predator/prey question/answer question/reply row/column adult/child cause/effect
"""

_PREFIXES = (
    ("hypo", "hyper"), ("under", "over"), ("pre", "post"), ("intra", "inter"), ("micro", "macro"), ("mono", "poly"),
    ("endo", "exo"), ("in", "ex"), ("im", "ex"), ("in", "de"), ("en", "de"), ("in", "out"), ("up", "down"),
    ("as", "de"), ("ante", "post"), ("homo", "hetero"), ("sub", "super"), ("iso", "aniso"), ("pro", "anti"),
    ("eu", "dys"), ("fore", "hind"), ("on", "off"),
)  # fmt: skip
_DENIALS = ("un", "in", "im", "il", "ir", "dis", "non", "de", "anti", "mis", "a", "ineli")
_ENDINGS = (("ful", "les"), ("er", "ee"), ("or", "ee"))


def _canonical(word: str) -> str:
    stem = root(word)
    return GROUPS.get(stem, stem)


def _opposites() -> tuple[dict[str, frozenset[str]], frozenset[frozenset[str]]]:
    found: dict[str, set[str]] = {}
    complete = set()
    for text, is_complete in ((_COMPLETE, True), (_PAIRS, False)):
        for entry in text.split():
            one, other = map(_canonical, entry.split("/"))
            if one == other:
                continue
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
            if is_complete:
                complete.add(frozenset((one, other)))
    return {word: frozenset(others) for word, others in found.items()}, frozenset(complete)


OPPOSITES, COMPLETE = _opposites()
SIDES = frozenset(frozenset(map(_canonical, entry.split("/"))) for entry in _SIDES.split())


def is_denial(one: str, other: str) -> bool:
    """Whether one stem is the other with a denying prefix or ending: eligible and ineligible, vaccinated and un-."""
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    if len(shorter) < 3 or len(longer) - len(shorter) > 4:
        return False
    return any(longer == prefix + shorter for prefix in _DENIALS) or longer == shorter + "les"


def _positive(stem: str) -> str:
    """Cheap for cheapest and cheaper, where that is a word with an opposite."""
    for ending in ("iest", "est", "ier", "er"):
        base = stem[: -len(ending)] + ("y" if len(ending) != len(ending.lstrip("i")) else "")
        if stem.endswith(ending) and len(stem) > len(ending) + 2:
            for candidate in (base, GROUPS.get(base, base)):
                if candidate in OPPOSITES:
                    return candidate
    return stem


def is_opposite(one: str, other: str) -> bool:
    """Whether two stems are opposites, by the list or by their prefixes."""
    if other in OPPOSITES.get(one, ()) or _positive(other) in OPPOSITES.get(_positive(one), ()):
        return True
    if one[-3:] != other[-3:] and one[:3] != other[:3]:
        return False
    for left, right in _PREFIXES:
        for x, y in ((one, other), (other, one)):
            if (
                x.startswith(left)
                and y.startswith(right)
                and x[len(left) :] == y[len(right) :]
                and len(x) > len(left) + 2
            ):
                return True
    return any(
        x.endswith(left) and y.endswith(right) and x[: -len(left)] == y[: -len(right)] and len(x) > len(left) + 2
        for left, right in _ENDINGS
        for x, y in ((one, other), (other, one))
    )
