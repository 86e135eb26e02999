"""Words that say how others belong together, in seven languages: they count little in a lexical vector.

Part of what version 1 of the lexical embedder is, so never changed. What is a content word of English is left out, even
where it is a function word of another language ("die", "war", "come", "door").
"""

from typing import Final

ENGLISH = """a about above after again all also am an and any are as at be because been before being below between
both but by can could did do does doing down during each few find for from further give had has have having he her
here hers him his how i if in into is it its itself just me more most my need no nor not now of off on once only or
other our ours out over own please same she should so some such tell than that the their theirs them then there these
they this those through to too under until up upon us very want was we were what when where which while who whom whose
why will with would you your yours"""

GERMAN = """aber als am auch auf aus bei beim bis das dass dem der des dich dir du durch ein eine einem einen einer
eines er es euch für habe haben hatte ich ihm ihn ihr ihre im ist ja kann kein keine mich mir nach nicht noch nur oder
ohne sehr sein seine sich sie sind über um und uns unter vom von vor wann warum was welche wenn werden wie wir wird wo
wurde zu zum zur"""

FRENCH = """alors au aussi aux avec avoir ce ces cette ceux comme dans de depuis des donc du elle elles en entre est
et était être eux il ils je la le les leur leurs lui ma mais mes mon même ne nos notre nous ont ou où par pas quand
que quel quelle qui quoi sa sans se ses si sont sous sur ta te tes toi tous très tu un une vos votre vous à été"""

SPANISH = """al algo antes aquí con contra cual cuando cómo cuál de del desde donde dónde e el ella ellos en es esa
ese eso esta este esto está están fue ha hasta la las le les lo los me mi muy más ni nos o para pero por porque que
quien qué se ser si sobre sí su sus también te tiene todo tu un una uno unos y ya yo él"""

ITALIAN = """agli al alla alle anche che chi ci con cosa così da dal dalla degli dei del della delle di e ed fra gli
ha hanno ho il in io la le lei lo loro lui ma mi molto ne nei nel nella noi non o perché per più quale quando quanto
questa questo qui se sei si sono su sul sulla suo sua tra tu un una uno voi è"""

PORTUGUESE = """ao aos as com como da das de dela dele do e ela ele em entre essa esse esta este eu foi há isso isto
já lhe mais mas me meu minha muito na nem no nos não o os ou para pela pelo por porque qual quando que quem se sem seu
sua são também te tem um uma você à às é"""

DUTCH = """aan al als bij daar dan dat de der deze dit doen een en er ge geen had haar heb hebben heeft het hier hij
hoe hun iets ik in is ja je kan met mij mijn naar niet nog nu of om omdat onder ons ook op over te tegen toch tot u
uit uw veel voor wat we wel werd wie wij wordt zal ze zich zij zijn zo zonder zou"""

FUNCTION_WORDS: Final = frozenset(" ".join((ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE, DUTCH)).split())
