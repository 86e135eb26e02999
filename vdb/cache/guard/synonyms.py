"""Words and phrases that say the same thing, and words that say nothing on their own.

`GROUPS`: the words between two commas have one meaning; the first stands for all. A word has one meaning here: where
it has more, the guard confuses a few questions, which costs a wrong answer, so opposites never share a place.
`NEAR`: words that may stand for each other, two at a time. `PHRASES`: several words become others, before single words
are looked up. `EMPTY`: politeness, auxiliaries, articles, pronouns of who speaks and to whom.
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
make add write, make cook fix, make set put place schedule book arrange organize plan, make do perform carry
accomplish complete, make earn get, make submit file put, make cause force get, make change, get acquire find have buy
pick fetch, get become, get understand, get reach arrive travel go, give offer provide supply show tell grant have
hand, give donate, find search discover get spot, see watch read show verify access open, see visit meet, see know
tell, search see hunt, change convert replace move set turn go exchange, change fix, turn go change set put enable
start, turn rotate, remove cancel take clear uninstall get rid eliminate reduce clean, remove leave, close end cancel,
stop prevent avoid block keep pause, stop cancel unsubscribe, stop disable, prevent keep protect avoid guard, start
open enable run, start open found, pay cost spend, pay settle clear, work run function operate do go, use take apply
have need run try, use take, need take want, need have, take bring carry transport, take accept, take last need, take
eat drink consume swallow have, take catch ride, take pass sit, take capture shoot, keep store save hold leave retain
maintain preserve, keep continue stay, save store back backup, save rescue, save cut, speak say chat converse, speak
know, say tell mention state express translate call, say mean, tell show explain let give, tell distinguish, mean
stand, call name term refer, call phone ring contact, contact reach message call email, hold contain keep carry, own
have possess, have contain include carry, have suffer experience, have hold own, visit go see tour, go travel visit
get drive head move, go happen, fly flight travel go, drive car travel, trip visit tour, fix handle address sort, fix
error problem, handle do deal treat manage, manage run handle administer control, eat consume have, drink consume
have, drink beverage, big long wide tall heavy, big size, large great, hour time, length time period duration, time
duration period, time date day when, date when day, safe ok harmless okay fine good healthy, good healthy great nice
best suitable decent excellent, good well, bad harmful poor unhealthy awful terrible, bad harmful dangerous, common
normal popular, order book request buy, order sequence, order arrange, book schedule, schedule plan arrange set, plan
organize arrange intend, plan subscription tier package, plan scheme program, send mail ship post forward, send
submit, message email text, list enumerate name give, list catalog, show tell present demonstrate reveal see, show
appear, show program series, write draft compose create author, write code, write spell, draft letter, story tale,
word vocabulary, word expression phrase, calculate find determine work solve, determine find decide, solve evaluate
find, count number tally, count calculate, number amount count total, amount cost volume size number, price amount
value worth, price rate, people human, people resident inhabitant, person serving, population people live resident,
author wrote, paint create draw, draw create sketch, invent create, found create establish start set, make prepare
construct manufacture, option feature function choice setting, option possibility alternative choice, function option
role, role function job, help problem, help cure, advice help guidance, step process procedure instruction, step stage
phase, process procedure method, method way, way method manner route, route way path, road route, soon quickly fast,
quickly urgent fast immediately, quickly urgently, immediately now straightaway, believe think guess, think opinion
feel, seem appear look, seem believe, seem think, appear look seem show, visible show see, confirm see, check test
verify inspect, accept take support allow honor, accept offer, extra additional more further, extra price, more other
another, another different other second new, new fresh recent, new different another, again back, back return, return
give bring send, revert reset back undo go restore change, undo revert reverse cancel, reset restore revert clear,
recover get reset find, disappear vanish lose, miss lack, lack need miss, rollover roll transfer, rate score, rate
speed, score grade mark points result, many multiple, total amount overall, whole total, maximum limit most highest
largest top longest, maximum biggest, minimum least lowest smallest shortest, limit maximum cap, deliver arrive ship
send, deliver bring, deliver give, arrive get reach deliver, arrive land, receive order, receive request, request ask
order apply, ask request, ask require, place spot site, place position rank, put add place set insert enter, add put
insert attach, enter type input, enter go, join enter, increase put turn, increase rise grow gain improve, raise put,
fall drop decrease decline, drop fall lower, reduce remove minimize limit, slow decelerate, withdraw take, withdraw
cash get, choose decide pop, decide determine choose, process handle, real actual, true real right, reason why, reason
explanation, cause lead trigger, cause produce, exist new, specific particular certain exact, exact specific precise,
wrong different bad, wrong problem matter, strange unusual, unusual rare, notice see spot, tire wheel, tire rubber,
submit send file hand, file document, document paper, paper article, article post, post publish, publish release,
release issue launch, issue error, error warning, auto automatic, automatic self, say show, say read, read study,
study learn research, learn study understand, understand know, know tell learn, teach show explain, explain show tell
understand, wait take, wait stay, stay live, live stay exist, live home, money amount, idea tip thought, tip idea
trick, opinion idea, opinion view, expect wait, walk go hike, walk foot, recognize know identify, identify recognize
find, fail unsuccessful decline, fail reject, card mastercard, right correct ok legal allow, allow legal ok fine
support accept, allow enable, allow authorize, illegal forbid, once one, mortgage loan, loan credit, fuel gas, manual
guide instruction, guide manual tutorial, tutorial lesson, lesson class, class course, course program, course dish,
access see open get reach, access log, opening access, close near, near around, around about, wear dress put, cloth
outfit, outfit clothing, host hold, hold host organize, fall collapse, collapse crash, crash fail break, break crash
fail, break pause, destroy ruin, hurt injure, kill die murder, treat cure care, cure treat remedy, remedy cure
treatment, treatment therapy cure, symptom sign, sign mark, dose dosage amount, dosage amount dose, pill tablet, drug
substance, side effect, disease condition, condition state, state status, status progress, progress state, state
province, province region, area zone, town village, building house, house property, property estate, flat house, room
space, table desk, seat chair place, seat spot, train rail, bus coach, coach trainer, boat ship, fly airline, carrier
airline, airline company, company organization, organization institution, team group, group crowd, band group, group
set, set collection, crew team, leader head chief, chief boss, boss manager, manager supervisor, colleague teammate,
friend buddy, buddy pal, spouse husband, spouse wife, partner spouse, relative family, family household, household
home, adult grownup, teen teenager, teenager adolescent, senior elderly, elderly old, young youth, man guy, woman
lady, boy lad, guest visitor, visitor guest tourist, traveler tourist passenger, rider passenger, user account, user
member customer, customer buyer, seller vendor, vendor seller supplier, store retailer, retailer shop, market store,
market marketplace, product item good, item thing product, item article, object item, element item, entry item, record
entry, row record, column field, table sheet, sheet page, page site, page website, link url, url address, address
location, home address, password pin, pin code, code program script, program application, tool app, service server,
server host, host machine, machine computer device, device phone, job task, task todo, work job, job position role,
position location, career profession, profession job, salary income earnings, wage income, pay salary, pay wage, bonus
reward, reward prize, prize award, award prize win, goal target, objective target, aim target, match game, player
athlete, sport game, champion winner, beat defeat, defeat beat win, lose defeat, conquer defeat, fight battle, battle
war, army military, soldier troop, weapon arm, gun firearm, bomb explosive, crime offense, offense violation, violate
break, punish penalty, penalty fine, fine fee, court judge, jail prison, police officer, vote elect, election vote,
government state, government authority, authority agency, agency office, office bureau, office workplace, workplace
work, branch office, branch location, headquarters base, headquarters location, head lead, rule law, policy rule, rule
policy guideline, term condition, condition requirement, qualify eligible, eligible entitle, entitle right, apply
qualify, certificate certification, licence permit, license permit, permission allow, permission permit, permission
right, privilege right, access right, access permission, obligation duty, must obligation, gift present, party
celebration, celebrate party, festival celebration, anniversary birthday, video clip, film video, song track music,
album record, band artist, artist singer, artist painter, actor star, actress actor, role part, play perform act, show
play, book novel, poem poetry, plot story summary, summarize plot, summarize brief, brief short, short summary, long
lengthy, title name, surname name, nickname name, newspaper paper, magazine journal, report document, report notify,
report tell, report summary, report statement, statement record, history record, past history, past previous, old
past, ancient old, modern new, current present, future next, future upcoming, origin source, origin start, come
originate, originate arrive, from origin, language speak, dialect language, accent dialect, english language, food
dish, dish meal recipe, ingredient component, component part, part piece, piece slice, taste flavor, smell odor, sound
noise, voice sound, color shade, shape form, form document, form kind, sort kind, species type, type species name,
type breed, breed race, race competition, competition contest, animal creature, pet animal, plant grow, grow raise,
grow cultivate, raise bring, crop harvest, soil earth, ground soil, land ground, land country, hill mountain, lake
water, pond lake, beach coast, coast shore, shore beach, island isle, ocean water, wave surf, wind breeze, fire flame,
burn fire, heat warm, hot spicy, cool cold, cold chilly, ice frozen, freeze ice, melt thaw, boil cook, cook fry, cook
roast, chop cut, cut slice chop, cut trim, peel skin, mix stir, pour add, spread apply, cover wrap, fold bend, tie
fasten, attach fasten, attach join, connect attach, connect join, connect plug, sync synchronize, detach separate,
separate split, split break, divide share, share portion, portion part, portion serving, half semi, twice double, pair
two, couple pair, group batch, pack package, package bundle, bundle pack, box carton, box case, bag sack, bottle
flask, cup mug, glass cup, plate dish, bowl dish, pan pot, knife blade, clean tidy, wash rinse, sweep clean, wipe
clean, stain mark, spot stain, mold fungus, bug insect, pest insect, repel deter, kill eliminate, poison toxin, damage
harm, harm hurt, danger threat, attack assault, protect secure, secure lock, safe protect, insure cover, cover
include, include cover contain, consist comprise, comprise include, belong own, equal same, equivalent equal,
equivalent same, match equal, compare contrast, differ vary, varied different, various different, several various,
some several, all every, every each, total full, full complete, complete finish, done finish, done ready,
ready prepare, ready set, set configure install, set adjust, adjust set tune, configure customize, customize
personalize, personalize custom, custom own, template format, format layout, design layout, design style, font
typeface, size dimension, size length, width size, weight mass, volume loudness, volume capacity, capacity size,
storage space memory, disk drive, folder file, path location, save export, import load, load open, read open load,
print output, output result, return output, parse read, extract get, extract parse, fetch get load, query search,
query request, filter search, filter exclude, select filter, choose filter, sort rank, rank order, group sort,
concatenate merge, append concatenate, update upgrade, patch update, version edition, release update, install update,
install put, install get, download get, download install, upload send, upload put, push upload, deploy publish, host
deploy, execute start, restart reset, restart start, kill stop, kill end, abort stop, abort cancel, suspend pause,
suspend stop, resume continue, repeat again, repeat loop, loop iterate, try test, test exam, exam quiz, quiz test,
debug fix, log record, record track, track monitor follow, monitor track watch, trace follow, measure calculate,
measure check, estimate calculate, estimate guess, predict forecast, average typical, standard normal, regular normal,
default standard, basic simple, easy basic, easy quick, hard complex, complex difficult, complicated complex,
difficult complicated, important main, main important major primary key, chief main, main popular, popular famous,
famous known, known call, notable famous, best top, best recommend, best ideal, ideal optimal, optimal best, perfect
ideal, suitable right, suitable appropriate, appropriate right, right proper, proper correct, valid correct, valid ok,
valid accept, dict dictionary, opposite antonym, translate say express, config set make start enable, checkout see
check, song tune, call ring, hotel accommodation, maximum many, few some, show see, notice realize, job assignment,
ask tell, highest best largest, biggest highest tallest largest, lowest smallest cheapest, tallest highest, conference
meet, clinic hospital, purchase order, unable fail, fail not
"""

_PHRASES = """
half an hour>30 minute; hour and a half>90 minute; quarter of an hour>15 minute; half a year>6 month
half a day>12 hour; turn off>disable; switch off>disable; shut off>disable; power off>disable; shut down>disable
deactivate>disable; turn on>enable; switch on>enable; power on>enable; activate>enable; log in>login; log into>login
log on>login; sign in>login; sign into>login; log out>logout; log off>logout; sign out>logout; sign up>register
set up>install; back up>backup; check in>checkin; check out>checkout; pick up>answer; get rid of>remove
take off>remove; find out>see; look up>search; look for>see; figure out>see; look at>see; carry out>run
throw away>remove; put off>postpone; call off>cancel; fill out>complete; fill in>complete; give up>quit
go up>increase; go down>decrease; speed up>accelerate; slow down>decelerate; blow up>explode; most recent>last
right now>now; at the moment>now; these days>now; as of now>now; prior to>before; in advance of>before
ahead of>before; in front of>front; next to>beside; in order to>to; so as to>to; due to>because; because of>because
as a result of>because; owing to>because; in case>if; provided that>if; as long as>if; any more>anymore
any longer>anymore; no longer>not anymore; at no time>never; other than>except; apart from>except; aside from>except
but not>not; instead of>instead; rather than>instead; in place of>instead; as opposed to>instead; in lieu of>instead
free of>without; devoid of>without; lacking>without; lack of>without; lack>not have; excluding>except
exclude>not include; unable>not able; impossible>not possible; not able>not can; fail to>not; refuse to>not
unless>if not; a lot of>many; lots of>many; plenty of>many; a number of>many; a couple of>several; a pair of>pair
at least>minimum; at most>maximum; up to>maximum; no more than>maximum; no less than>minimum; no fewer than>minimum
more than>above; greater than>above; higher than>higher than; over the age of>above; less than>below; fewer than>below
lower than>lower than; as well as>and; along with>with; together with>together with; by means of>with
with the help of>with; using>with; with regard to>about; in terms of>about; how tall>height; how high>height
how long>duration; how old>age; how far>distance; how heavy>weight; how deep>depth; how wide>width; how big>size
how large>size; how fast>speed; how expensive>cost; how many>count; how much>amount; how often>often
how frequent>often; low cost>cheap; low price>cheap; least expensive>cheapest; most affordable>cheapest; two time>2
how much time>duration; how many time>often; length of time>duration; time zone>timezone; how come>why; how about>
how hot>temperature; how cold>temperature; united kingdom>uk; great britain>uk; united states of america>usa
united states>usa; the us>usa; the states>usa; european union>eu; daylight saving time>dst; daylight savings time>dst
artificial intelligence>ai; machine learning>ml; natural language processing>nlp; operating system>os
social security number>ssn; personal identification number>pin; identity card>id; identification>id
frequently asked questions>faq; chief executive officer>ceo; chief executive>ceo; human resources>hr
public holiday>holiday; bank holiday>holiday; new york city>nyc; los angeles>la; san francisco>sf; world war>ww
value added tax>vat; air conditioner>ac; air conditioning>ac; credit union>credit union; random access memory>ram
memory>ram; central processing unit>cpu; graphics card>gpu; graphics processing unit>gpu; user interface>ui
virtual machine>vm; web site>website; smart phone>phone; cell phone>phone; mobile phone>phone; tv set>tv
car park>parking lot; gas station>petrol station; hard drive>disk; hard disk>disk; hoover robot>robot vacuum
bank account>account; work from home>wfh; work remotely>wfh; remote work>wfh; home office>wfh; time off>vacation
paid leave>vacation; annual leave>vacation; day off>vacation day; sick day>sick leave; get in touch with>contact
reach out to>contact; customer service>support; customer support>support; tech support>support; best way>way
right way>way; correct way>way; easiest way>way; proper way>way; good way>way; what way>way; would like>want
feel like>want; in the name of>for; make sure>ensure; take place>happen; go on>happen; have to>must; has to>must
need to>must; ought to>must; supposed to>must; be allowed to>allow; allowed to>allow; able to>can; possible to>can
permitted to>allow; is it ok>can; is it okay>can; is it fine>can; mail address>email; e mail>email; wi fi>wifi
on line>online; off line>offline; pop up>popup; drop down>dropdown; per cent>percent; pound sterling>gbp
us dollar>usd; usa dollar>usd; american dollar>usd; nautical mile>nmi; mile per hour>mph; kilometer per hour>kmh
km per hour>kmh; meter per second>mps; foot per second>fps; per annum>per year; each year>per year
every year>per year; each month>per month; every month>per month; a month>per month; a year>per year; a week>per week
a day>per day; an hour>per hour; each day>per day; every day>per day; each week>per week; every week>per week
per hour>per hour; each hour>per hour; every hour>per hour; whether or not>whether; not only>also; why not>why
or not>; or no>; if not>else; do not forget>remember; not sure>; not know>; can not find>see; can not figure out>see
do not understand>explain; do not mind>; not yet>not yet; is there no>is there; is there not>is there; no idea>
by heart>memorize; of course>; no problem>; fall asleep>asleep; have trouble>problem
be down>not work; stop work>not work; out of order>not work; out of stock>unavailable; sold out>unavailable
divided by>divide by; multiplied by>multiply by; square root>sqrt; to the power of>^; squared>^ 2; cubed>^ 3
percent of>% of
"""

_EMPTY = """
a an the please kindly hi hello hey dear thanks thank just really actually basically simply very so well ok okay can
could would should shall will may might do be have i me my mine we us our ours you your yours it its he she they them
their his her this_ that_ these those there here want like know let tell way thing able ever own possible possibly
quick question wonder any some must need someone somebody anyone anybody something anything give get go_ then else
what which how kind_ also too help assist assistance step steps think believe guess seem seems wonder wondering idea
currently current now still already anymore exactly best good proper properly as been being im id ill guy guys mean_
maybe perhaps sir madam everyone ensure that whether case got lot
"""

_LINKS = (
    "of in on at by for with from to into onto out off up down over under through and or than as per each every "
    "about against within during till until since behind beyond across along above below before after between vs "
    "who whom whose when where why if because while via all both only even instead but"
)


Phrase = tuple[tuple[str, ...], tuple[str, ...]]


def _groups() -> dict[str, str]:
    classes: dict[str, str] = {}
    for line in _GROUPS.split(","):
        members = [root(word) for word in line.split()]
        for member in members:
            classes.setdefault(member, classes.get(members[0], members[0]))
    return classes


def _phrases() -> dict[str, dict[str, list[Phrase]]]:
    """By first and second word; what follows the first word, and what replaces all."""
    by_head: dict[str, dict[str, list[Phrase]]] = {}
    for entry in _PHRASES.replace("\n", ";").split(";"):
        if entry.strip():
            left, _, right = entry.partition(">")
            head, *rest = (root(word) for word in left.split())
            by_second = by_head.setdefault(head, {})
            by_second.setdefault(rest[0] if rest else "", []).append((tuple(rest), tuple(right.split())))
    for by_second in by_head.values():
        for choices in by_second.values():
            choices.sort(key=lambda choice: -len(choice[0]))
    return by_head


def _near() -> dict[str, frozenset[str]]:
    near: dict[str, set[str]] = {}
    for place in _NEAR.split(","):
        words = {GROUPS.get(root(word), root(word)) for word in place.split()}
        for word in words:
            near.setdefault(word, set()).update(words)
    return {word: frozenset(others) for word, others in near.items()}


GROUPS = _groups()
NEAR = _near()
PHRASES = _phrases()
EMPTY = frozenset(word for word in _EMPTY.split() if not word.endswith("_"))
LINKS = frozenset(_LINKS.split())
