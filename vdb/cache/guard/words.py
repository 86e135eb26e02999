"""Words as the guard compares them: one spelling, one inflection, slang and contractions written out.

`root` cuts a word to a stem that its inflections and its British and American spellings share; it need not be a word.
`is_slip` tells a misspelling from another word; `is_derived` finds two derivations of one word.
"""

_IRREGULAR = """
died|die dice|die dices|die am|be is|be are|be was|be were|be been|be being|be has|have had|have having|have does|do
did|do done|do doing|do went|go gone|go going|go goes|go bought|buy paid|pay sold|sell told|tell said|say made|make
took|take taken|take gave|give given|give got|get gotten|get came|come saw|see seen|see knew|know known|know
thought|think found|find left|leave felt|feel kept|keep held|hold sent|send spent|spend lent|lend built|build
lost|lose met|meet ran|run wrote|write written|write spoke|speak spoken|speak broke|break broken|break chose|choose
chosen|choose drove|drive driven|drive flew|fly flown|fly forgot|forget forgotten|forget froze|freeze frozen|freeze
grew|grow grown|grow hid|hide hidden|hide rode|ride ridden|ride rose|rise risen|rise sang|sing sung|sing stole|steal
stolen|steal swam|swim threw|throw thrown|throw wore|wear worn|wear won|win began|begin begun|begin drank|drink
drunk|drink ate|eat eaten|eat fell|fall fallen|fall brought|bring caught|catch taught|teach sought|seek fought|fight
slept|sleep led|lead fed|feed bit|bite bitten|bite shot|shoot stood|stand understood|understand meant|mean heard|hear
owed|owe became|become drew|draw drawn|draw blew|blow shook|shake shaken|shake struck|strike stuck|stick woke|wake
woken|wake withdrew|withdraw withdrawn|withdraw overcame|overcome dealt|deal laid|lay lain|lie lying|lie dying|die
tying|tie hung|hang dug|dig spun|spin sank|sink sunk|sink shone|shine bound|bind wound|wind burnt|burn learnt|learn
spelt|spell spilt|spill dreamt|dream leant|lean knelt|kneel swept|sweep wept|weep crept|creep children|child men|man
women|woman people|person feet|foot teeth|tooth mice|mouse geese|goose lives|life wives|wife knives|knife leaves|leave
loaves|loaf halves|half shelves|shelf thieves|thief wolves|wolf calves|calf selves|self data|data media|media
criteria|criterion phenomena|phenomenon analyses|analysis indices|index indexes|index vertices|vertex matrices|matrix
axes|axis theses|thesis bases|base crises|crisis appendices|appendix better|better best|best worse|worse worst|worst
less|less least|least more|more most|most news|news series|series species|species always|always perhaps|perhaps
yes|yes this|this his|his us|us gas|gas bus|bus buses|bus plus|plus minus|minus thus|thus lens|lens lenses|lens
redis|redis apis|api ids|id during|during thing|thing things|thing something|something anything|anything
everything|everything nothing|nothing morning|morning evening|evening ceiling|ceiling spring|spring string|string
bring|bring king|king ring|ring wing|wing sing|sing ping|ping swing|swing need|need needs|need needed|need
needing|need speed|speed feed|feed seed|seed exceed|exceed proceed|proceed succeed|succeed indeed|indeed
hundred|hundred red|red bed|bed used|use using|use uses|use united|united wedding|wedding building|building
buildings|building
"""

_SPELLING = """
colour|color favour|favor favourite|favorite behaviour|behavior neighbour|neighbor labour|labor honour|honor
flavour|flavor harbour|harbor humour|humor rumour|rumor tumour|tumor vapour|vapor armour|armor odour|odor mould|mold
centre|center litre|liter metre|meter theatre|theater fibre|fiber calibre|caliber millimetre|millimeter
centimetre|centimeter kilometre|kilometer millilitre|milliliter lustre|luster
programme|program cheque|check tyre|tire kerb|curb grey|gray licence|license practise|practice defence|defense
offence|offense pretence|pretense enrol|enroll fulfil|fulfill instalment|installment jewellery|jewelry
aluminium|aluminum catalogue|catalog dialogue|dialog analogue|analog sceptical|skeptical mum|mom mums|mom
pyjamas|pajamas plough|plow draught|draft storey|story sulphur|sulfur paediatric|pediatric anaesthetic|anesthetic
oestrogen|estrogen haemoglobin|hemoglobin foetus|fetus manoeuvre|maneuver aeroplane|airplane speciality|specialty
maths|math doughnut|donut yoghurt|yogurt whisky|whiskey cosy|cozy artefact|artifact judgement|judgment ageing|aging
acknowledgement|acknowledgment moustache|mustache omelette|omelet gramme|gram tonne|ton encyclopaedia|encyclopedia
archaeology|archeology leukaemia|leukemia diarrhoea|diarrhea anaemia|anemia connexion|connection disc|disk
analyse|analyze analysed|analyze analysing|analyze paralyse|paralyze catalyse|catalyze
"""

_SLANG = """
plz|please pls|please thx|thanks u|you ur|your r|are wanna|want_to gonna|going_to gotta|have_to lemme|let_me
gimme|give_me kinda|kind_of whats|what_is hows|how_is wheres|where_is whos|who_is whens|when_is thats|that_is
theres|there_is heres|here_is im|i_am ive|i_have youre|you_are theyre|they_are dont|do_not doesnt|does_not
didnt|did_not isnt|is_not arent|are_not wasnt|was_not werent|were_not cant|can_not cannot|can_not wont|will_not
wouldnt|would_not couldnt|could_not shouldnt|should_not havent|have_not hasnt|has_not hadnt|had_not mustnt|must_not
neednt|need_not aint|is_not cuz|because coz|because bc|because tho|though thru|through tmrw|tomorrow tmr|tomorrow
tomorow|tomorrow wich|which teh|the recieve|receive adress|address seperate|separate definately|definitely
b4|before w/o|without w/|with vs.|versus vs|versus &|and +|+ ok|okay lil|little pic|picture pics|picture
ppl|person yr|year yrs|year mo|month mos|month wk|week wks|week hr|hour hrs|hour mins|minute min|minute secs|second
sec|second approx|about asap|soon info|information broken|not_work eg|example etc|etc
"""

_CONTRACTED = {"won't": ("will", "not"), "can't": ("can", "not"), "shan't": ("shall", "not"), "ain't": ("is", "not")}
_TAILS = {"'re": "are", "'ve": "have", "'ll": "will", "'m": "am", "'d": "would"}

_CONFUSED_WORDS = """
trial|trail angel|angle casual|causal adapt|adopt affect|effect desert|dessert quite|quiet diary|dairy form|from
contact|contract county|country through|though patient|patent except|expect martial|marital united|untied
friend|fiend course|curse breath|breadth cloth|clot planet|plane sweat|sweet expand|expend extend|extent
insulin|inulin dinner|diner later|latter super|supper mater|matter bitter|biter canon|cannon comma|coma
planning|planing hopping|hoping moral|morale human|humane personal|personnel statue|statute loose|lose
import|impart export|expert inter|inner medal|model metal|mental native|naive store|stare stock|stack
track|truck trick|track brand|bread board|bored border|boarder broach|brooch career|carrier carton|cartoon
collage|college commend|command complement|compliment conscious|conscience council|counsel decent|descent
device|devise elicit|illicit emigrate|immigrate ensure|insure farther|further formally|formerly
genus|genius hospitable|hospital incite|insight lightning|lightening liable|libel loath|loathe
moment|memento ordinance|ordnance perfect|prefect perspective|prospective precede|proceed prescribe|proscribe
principal|principle prophecy|prophesy quiet|quit recent|resent rotation|ration salon|saloon scared|sacred
single|signal slander|slender stationary|stationery station|stain suite|suit tenant|tenet thorough|through
track|tract umpire|empire vacation|vocation vary|very waist|waste weather|whether winner|winter
python|pythons switch|sketch stars|stairs steam|stem strip|stripe scrape|scrap cream|crème organ|organs
sleep|slope slip|sleep shirt|short ship|shop beach|batch bench|bunch bottom|button batter|butter better|butter
better|bitter letter|litter letter|latter fuller|filler hotel|hostel import|imports colon|clone coral|carol
marine|marina polar|poplar solder|soldier coast|cost coats|coast board|broad baron|barn bacon|beacon
create|crate creation|cremation sever|server severe|server reverse|reserve reserve|revere sister|sitter
tracer|trace trader|trade invest|infest ingest|invest inject|infect inspect|insect intern|inter
"""


def listed(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


def _table(text: str) -> dict[str, str]:
    return dict(entry.split("|", 1) for entry in text.split())


_IS_AFTER = listed("what where who how when why that there here it he she")
_IS_VOWEL = frozenset("aeiouy")
_CONFUSED = frozenset(frozenset(pair.split("|")) for pair in _CONFUSED_WORDS.split())
IRREGULAR = _table(_IRREGULAR)
SPELLING = _table(_SPELLING)
SLANG = {word: tuple(full.split("_")) for word, full in _table(_SLANG).items()}


def expand(word: str) -> tuple[str, ...]:
    """The words that a lower-case word stands for: slang and contractions written out, a possessive 's dropped."""
    if word in SLANG:
        return SLANG[word]
    if "'" not in word:
        return (word,)
    if word in _CONTRACTED:
        return _CONTRACTED[word]
    if word.endswith("n't"):
        return (word[:-3], "not")
    for tail, full in _TAILS.items():
        if word.endswith(tail):
            return (word[: -len(tail)], full)
    if word.endswith("'s"):
        return (word[:-2], "is") if word[:-2] in _IS_AFTER else (word[:-2],)
    return (word.replace("'", ""),)


def root(word: str) -> str:
    """The stem of a lower-case word."""
    word = IRREGULAR.get(word, word)
    word = SPELLING.get(word, word)
    if len(word) <= 3 or not word.isalpha() or word in IRREGULAR:
        return _closed(word)
    bare = _singular(word)
    bare = SPELLING.get(bare, bare)
    for ending in ("isation", "ization"):
        if bare.endswith(ending):
            return bare[: -len(ending)] + "iz"
    for ending in ("ing", "ed"):
        cut = bare[: -len(ending)]
        if bare.endswith(ending) and len(cut) >= 3 and not _IS_VOWEL.isdisjoint(cut):
            bare = cut[:-1] + "y" if ending == "ed" and cut.endswith("i") else cut
            bare = SPELLING.get(bare, SPELLING.get(bare + "e", bare))
            break
    return _closed(bare)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _closed(word: str) -> str:
    """One ending for all: no final e, no doubled final letter, -ise as -ize."""
    if len(word) > 3 and word.endswith("e") and not word.endswith("ee"):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in _IS_VOWEL:
        word = word[:-1]
    if len(word) > 5 and word.endswith("is") and not word.endswith(("axis", "asis", "esis", "isis", "ysis", "osis")):
        word = word[:-2] + "iz"
    return word


_ENDINGS = listed(
    "ion ation ition ment al ive ly able ibl abl ibility ability nes ity ity ic ical ur or ant ance ent enc ency "
    "ancy ful y iz age at ator ery ian an i ese ish s es"
)


def is_derived(one: str, other: str) -> bool:
    """Whether two stems are derivations of one word: vaccin(es) and vaccination, Canada and Canadian."""
    shared = 0
    for x, y in zip(one, other, strict=False):
        if x != y:
            break
        shared += 1
    rest, of_other = one[shared:], other[shared:]
    if shared < 4 or min(len(one), len(other)) < 4:
        return False
    if not rest or not of_other:
        return (rest or of_other) in _ENDINGS or (rest or of_other) == ""
    return shared >= 5 and rest in _ENDINGS and of_other in _ENDINGS


def is_slip(one: str, other: str) -> bool:
    """Whether one word is the other misspelt: inside it, letters swapped, doubled, left out or a vowel mistaken."""
    if one == other:
        return True
    if min(len(one), len(other)) < 4 or not (one.isalpha() and other.isalpha()):
        return False
    if one[0] != other[0] or abs(len(one) - len(other)) > 2 or frozenset((one, other)) in _CONFUSED:
        return False
    if _undoubled(one) == _undoubled(other):
        return True
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    mine, theirs = one[start : len(one) - end], other[start : len(other) - end]
    if min(len(one), len(other)) < 5 or end == 0:
        return len(mine) == 2 and mine == theirs[::-1]
    if len(mine) == len(theirs) == 2:
        return mine == theirs[::-1]
    if {len(mine), len(theirs)} == {0, 1}:
        return True
    return len(mine) == len(theirs) == 1 and mine in _IS_VOWEL and theirs in _IS_VOWEL


def _undoubled(word: str) -> str:
    return "".join(letter for place, letter in enumerate(word) if place == 0 or letter != word[place - 1])
