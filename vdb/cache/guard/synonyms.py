"""Words and phrases that say the same thing, and words that say nothing on their own.

`GROUPS`: the words between two commas have one meaning; the first stands for all. A word has one meaning here: where
it has more, the guard confuses a few questions, which costs a wrong answer, so opposites never share a place.
`PHRASES`: several words become others, before single words are looked up. `EMPTY`: politeness, auxiliaries, articles,
pronouns of who speaks and to whom.
"""

from vdb.cache.guard.words import root

_GROUPS = """
fix repair resolve solve troubleshoot remedy correct, buy purchase, see view look find locate check,
show display list print, make create build generate produce craft, bake cook prepare,
start begin launch initiate commence startup, stop end finish terminate quit halt,
change modify edit alter update adjust switch amend, remove delete erase wipe drop discard, add append include,
send transfer wire, receive get obtain, big large huge, small little tiny, fast quick rapid speedy, fastest quickest,
faster quicker, biggest largest, bigger larger, easiest simplest, speed velocity, car automobile,
phone smartphone cellphone mobile telephone, laptop notebook, pc computer, movie film, picture photo photograph image,
job employment occupation, salary wage, boss supervisor, employee worker, doctor physician, medicine medication drug,
illness disease sickness, sick ill unwell, child kid, baby infant, mother mom, father dad, house home, flat apartment,
city town, country nation, street road, shop store, shopping groceries, refund reimbursement reimburse,
price cost fee charge expensive, bill invoice, trip journey travel voyage, vacation holiday pto, flight plane airplane,
luggage baggage suitcase, garbage trash rubbish waste, sofa couch, vacuum hoover, elevator lift, fridge refrigerator,
freezer deepfreeze, oven stove, meaning definition mean define signify,
require need necessary require must requirement, use utilize using usage employ, help assist aid support, try attempt,
choose select pick, allow permit let allowed permitted, forbid prohibit ban, legal lawful, illegal unlawful,
maximum max, minimum min, error fault failure, problem issue trouble, bug defect, broken damaged, wrong incorrect,
answer reply respond response, ask inquire enquire, question query, tell inform, explain describe clarify,
difference distinction differ, similar alike, same identical, method approach technique, example sample instance,
rule regulation, law legislation, contract agreement, document doc, application app, program software,
folder directory, command cmd, config configuration settings setting, parameter argument param, function func,
int integer, string str, variable var, database db, repository repo, environment env, authentication auth,
admin administrator, password passcode, account acct, login signin logon, logout signout logoff,
register signup enroll enrol, website site webpage, internet web, wifi wi-fi, email mail, chat conversation, call dial,
talk speak, summary summarize summarise recap overview, tip advice recommendation suggestion, recommend suggest advise,
information info details detail, quantity amount, total sum, half 1/2, tall height, deep depth, wide width,
weight heavy weigh, old age, far distance, temperature temp, rain raining rainy, snow snowing snowy, weather forecast,
close shut, open opening, happen occur, last latest final recent, next upcoming following,
earlier previous prior former, often frequently frequent, sometimes occasionally, usually normally typically,
normal typical usual, common widespread, rare uncommon, quickly rapidly, easy simple straightforward effortless,
hard difficult tough, important essential crucial vital, famous renowned well-known, cheap inexpensive affordable,
free complimentary, empty blank, entire whole, enough sufficient, many much several numerous lot, also too,
about regarding concerning, because due, if when whether, but however, although though, via through, among between,
without sans, vs versus, author writer, person individual, people folk, company firm business corporation,
client customer, coworker colleague, teacher instructor, student pupil, attorney lawyer, police cop, thief burglar,
tv television, stomach tummy belly, injury wound, hurt ache pain, vaccine vaccination jab,
pregnant pregnancy expecting, surgery operation, prescription rx, dentist dental, gym fitness, exercise workout,
diet nutrition, food meal, dinner supper, dessert sweets, cookie biscuit, maker machine, appliance device gadget,
tool utility, robot bot, remain stay, reside live, arrive arrival come, depart departure, deliver delivery,
ship shipping shipment, package parcel, track trace, cancel cancellation annul, exchange swap,
replace replacement substitute, approve approval, decline reject refuse deny, confirm verify validate, prove proof,
valid validity, expire expiry expiration, renew renewal, extend extension prolong, postpone defer, late delayed delay,
schedule scheduled, reserve book, conference meeting, reservation booking, remind reminder, timer countdown,
calendar agenda, translate translation, convert conversion transform, calculate compute calculation, square squared,
derivative differentiate, divide division, increase raise boost, reduce decrease lower cut diminish, grow growth,
improve enhance better, worsen deteriorate, connect connection link pair, install installation setup,
upgrade upgrading, download fetch, upload uploading, copy duplicate, move relocate migrate, share sharing,
merge combine join, mix blend, sort sorting, search lookup, filter filtering, run execute, test testing,
debug debugging, deploy deployment, release version, compile compilation, restart reboot, reset resetting,
hidden invisible, visible shown, clean wash, dirty filthy, safe secure, safety security, danger risk hazard,
dangerous risky unsafe hazardous, poisonous toxic, scared afraid frightened, happy glad pleased, sad unhappy,
angry mad, tired exhausted, beautiful pretty, ugly unattractive, smart clever intelligent, stupid dumb, rich wealthy,
poor impoverished, funny humorous, strange weird odd, true accurate, false untrue, possible feasible,
impossible infeasible, sure certain, probably likely, maybe perhaps, quiet silent, loud noisy, border frontier,
war conflict, population inhabitants, founder establish, invent inventor invention, discover discovery discoverer,
win winner, die death dead, born birth birthday, marry marriage wed wedding, king monarch, purpose goal aim objective,
reason cause, result outcome, effect impact influence consequence, benefit advantage pro, drawback disadvantage con,
feature characteristic, piece segment, type kind, area region, place location, top upper, side edge, middle center,
near nearby nearest closest, around approximately roughly, uk britain, usa us america, eu eu, dst dst, ai ai,
js javascript, ts typescript, py python, k8s kubernetes, postgres postgresql, mongo mongodb, mac macos, ios ios,
monitor screen, headphone headset earphone, speaker loudspeaker, battery accumulator, notify notification alert,
accept acceptance, payment pay, debt loan, tax taxation taxable, insurance insure coverage, withdraw withdrawal,
savings saving, retire retirement pension, hire recruit, fire dismiss sack, resign resignation, resume cv,
homework assignment, sentence phrase, word term, dictionary lexicon, language tongue, spell spelling,
pronounce pronunciation, flower blossom, tree trees, dog puppy, cat kitten, bird birds, fish fishes, sea ocean,
mountain mount mt, river stream, forest woods, earth world globe, moon lunar, space cosmos, star stars,
gasoline petrol gas, truck lorry, subway underground metro, train railway, bike bicycle cycle, motorbike motorcycle,
taxi cab, airport aerodrome, hotel accommodation lodging, restaurant eatery diner, cafe coffeehouse, bar pub,
toilet bathroom restroom loo, room chamber, kitchen kitchenette, wall walls, floor ground, roof rooftop, window pane,
key keys, lamp light, plug socket outlet, cable cord, pipe tube, screw bolt, clothes clothing apparel, pants trousers,
sweater jumper pullover, sneakers trainers, shoe shoes, coat jacket, hat cap, sunglasses shades, wallet purse,
money cash funds, coin coins, lose lost missing misplace, steal stolen theft, hack hacked compromised, spam junk,
virus malware, elevation altitude, recover retrieve restore, review feedback, subscribe subscription,
member membership, manager management, owner ownership, landlord lessor, rent lease rental, tenant renter lessee,
deadline cutoff, topup top-up, limit ceiling restriction
"""

_NEAR = """
make/add dict/dictionary opposite/antonym translate/say express/say make/bake make/cook make/prepare make/do cook/bake
see/check find/check show/give get/find get/obtain order/buy order/request change/switch change/replace change/fix
move/change remove/cancel close/end close/cancel pay/cost work/run work/function start/launch open/start use/take
use/have need/take store/keep save/keep speak/say tell/say say/mean call/name hold/keep own/have visit/go travel/go
fly/flight drive/car trip/visit fix/handle handle/do handle/deal eat/consume drink/consume big/long big/wide hour/time
length/time period/time safe/ok safe/harmless good/safe safe/healthy normal/ok common/normal book/order book/schedule
schedule/plan plan/organize organize/arrange plan/arrange send/mail send/ship email/message order/sequence
list/enumerate show/tell write/draft write/compose draft/letter story/tale word/vocabulary apply/use calculate/find
calculate/determine find/determine compute/find solve/find evaluate/calculate count/number amount/number amount/cost
price/amount people/person person/serving people/serving author/wrote author/writ writ/create paint/create draw/create
create/invent found/create found/start make/prepar build/construct
"""

_PHRASES = """
turn off>disable; switch off>disable; shut off>disable; power off>disable; shut down>disable; deactivate>disable
turn on>enable; switch on>enable; power on>enable; activate>enable; log in>login; log into>login; log on>login
sign in>login; sign into>login; log out>logout; log off>logout; sign out>logout; sign up>register; set up>install
back up>backup; check in>checkin; check out>checkout; pick up>answer; get rid of>remove; take off>remove; find out>see
look up>search; look for>see; figure out>see; look at>see; carry out>run; throw away>remove; put off>postpone
call off>cancel; fill out>complete; fill in>complete; give up>quit; go up>increase; go down>decrease
speed up>accelerate; slow down>decelerate; blow up>explode; most recent>last; right now>now; at the moment>now
these days>now; as of now>now; prior to>before; in advance of>before; ahead of>before; in front of>front
next to>beside; in order to>to; so as to>to; due to>because; because of>because; as a result of>because
owing to>because; in case>if; provided that>if; as long as>if; any more>anymore; any longer>anymore
no longer>not anymore; at no time>never; other than>except; apart from>except; aside from>except; but not>not
instead of>instead; rather than>instead; in place of>instead; as opposed to>instead; in lieu of>instead
free of>without; devoid of>without; lacking>without; lack of>without; lack>not have; excluding>except
exclude>not include; unable>not able; impossible>not possible; not able>not can; fail to>not; refuse to>not
unless>if not; a lot of>many; lots of>many; plenty of>many; a number of>many; a couple of>2; a pair of>pair
at least>minimum; at most>maximum; up to>maximum; no more than>maximum; no less than>minimum; no fewer than>minimum
more than>above; greater than>above; higher than>higher than; over the age of>above; less than>below; fewer than>below
lower than>lower than; as well as>and; along with>with; together with>together with; by means of>with
with the help of>with; using>with; with regard to>about; in terms of>about; how tall>height; how high>height
how long>duration; how old>age; how far>distance; how heavy>weight; how deep>depth; how wide>width; how big>size
how large>size; how fast>speed; how expensive>cost; how many>count; how much>amount; how often>often
how frequent>often; least expensive>cheapest; most affordable>cheapest; two time>2; how much time>duration
how many time>often; length of time>duration; time zone>timezone; how come>why; how about>; how hot>temperature
how cold>temperature; united kingdom>uk; great britain>uk; united states of america>usa; united states>usa; the us>usa
the states>usa; european union>eu; daylight saving time>dst; daylight savings time>dst; artificial intelligence>ai
machine learning>ml; natural language processing>nlp; operating system>os; social security number>ssn
personal identification number>pin; identity card>id; identification>id; frequently asked questions>faq
chief executive officer>ceo; chief executive>ceo; human resources>hr; public holiday>holiday; bank holiday>holiday
new york city>nyc; los angeles>la; san francisco>sf; world war>ww; value added tax>vat; air conditioner>ac
air conditioning>ac; credit union>credit union; random access memory>ram; memory>ram; central processing unit>cpu
graphics card>gpu; graphics processing unit>gpu; user interface>ui; virtual machine>vm; web site>website
smart phone>phone; cell phone>phone; mobile phone>phone; tv set>tv; car park>parking lot; gas station>petrol station
hard drive>disk; hard disk>disk; hoover robot>robot vacuum; bank account>account; work from home>wfh
work remotely>wfh; remote work>wfh; home office>wfh; time off>vacation; paid leave>vacation; annual leave>vacation
day off>vacation day; sick day>sick leave; get in touch with>contact; reach out to>contact; customer service>support
customer support>support; tech support>support; best way>way; right way>way; correct way>way; easiest way>way
proper way>way; good way>way; what way>way; would like>want; feel like>want; in the name of>for; make sure>ensure
take place>happen; go on>happen; have to>must; has to>must; need to>must; ought to>must; supposed to>must
be allowed to>allow; allowed to>allow; able to>can; possible to>can; permitted to>allow; is it ok>can; is it okay>can
is it fine>can; mail address>email; e mail>email; wi fi>wifi; on line>online; off line>offline; pop up>popup
drop down>dropdown; per cent>percent; pound sterling>gbp; us dollar>usd; usa dollar>usd; american dollar>usd
mile per hour>mph; kilometer per hour>kmh; km per hour>kmh; meter per second>mps; foot per second>fps
per annum>per year; each year>per year; every year>per year; each month>per month; every month>per month
a month>per month; a year>per year; a week>per week; a day>per day; an hour>per hour; each day>per day
every day>per day; each week>per week; every week>per week; per hour>per hour; each hour>per hour; every hour>per hour
whether or not>whether; not only>also; why not>why; or not>; if not>else; do not forget>remember; not sure>; not know>
can not find>see; can not figure out>see; do not understand>explain; do not mind>; not yet>not yet
is there no>is there; is there not>is there; no idea>; by heart>memorize; of course>; no problem>; fall asleep>sleep
have trouble>problem; broken>not work; stop work>not work; out of order>not work; out of stock>unavailable
sold out>unavailable; divided by>divide by; multiplied by>multiply by; square root>sqrt; to the power of>^
squared>^ 2; cubed>^ 3; percent of>% of
"""

_EMPTY = """
a an the please kindly hi hello hey dear thanks thank just really actually basically simply very so well ok okay
can could would should shall will may might do be have i me my mine we us our ours you your yours it its he she they
them their his her this_ that_ these those there here want like know let tell way thing able ever own possible possibly
quick question wonder any some must need someone somebody anyone anybody something anything give get go_ then else
what which how kind_ also too currently current now still already anymore exactly best good proper properly
as been being im id ill guy guys mean_ maybe perhaps sir madam everyone ensure that whether case got lot
"""

_LINKS = (
    "of in on at by for with from to into onto out off up down over under through and or than as per each every "
    "about against within during till until since behind beyond across along above below before after between vs "
    "who whom whose when where why if because while via is_ all both only even instead"
)


def _groups() -> dict[str, str]:
    classes: dict[str, str] = {}
    for line in _GROUPS.split(","):
        members = [root(word) for word in line.split()]
        for member in members:
            classes.setdefault(member, classes.get(members[0], members[0]))
    return classes


def _phrases() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    by_head: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for entry in _PHRASES.replace("\n", ";").split(";"):
        if entry.strip():
            left, _, right = entry.partition(">")
            head, *rest = (root(word) for word in left.split())
            by_head.setdefault(head, []).append((tuple(rest), tuple(right.split())))
    for choices in by_head.values():
        choices.sort(key=lambda choice: -len(choice[0]))
    return by_head


def _near() -> frozenset[frozenset[str]]:
    pairs = (entry.split("/") for entry in _NEAR.split())
    return frozenset(frozenset(GROUPS.get(root(word), root(word)) for word in pair) for pair in pairs)


GROUPS = _groups()
NEAR = _near()
PHRASES = _phrases()
EMPTY = frozenset(word for word in _EMPTY.split() if not word.endswith("_"))
LINKS = frozenset(_LINKS.split())
