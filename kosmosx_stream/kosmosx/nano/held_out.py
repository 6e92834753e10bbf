"""Names and phrasings that only evaluation uses: nothing here may enter training."""

from __future__ import annotations

from kosmosx_stream.kosmosx.nano.smalltalk import CANNOT, NO_PICTURE, TALK

_GREETING, _WHO, _CAN, _SHAPES, _COLOURS, _MADE, _FINE, _WELCOME, _BYE, _GLAD, _WRONG = (
    exchange.answer for exchange in TALK.values()
)

# fmt: off
NAMES = (
    "Ada", "Bartholomew", "Beowulf", "Calliope", "Cosmo", "Dagny", "Desmond", "Eleanor",
    "Ezekiel", "Fergus", "Ginevra", "Guinevere", "Hamish", "Hiroshi", "Ichabod", "Imogen",
    "Jezebel", "Katarzyna", "Kwame", "Lancelot", "Leopold", "Marguerite", "Mortimer",
    "Nefertiti", "Nikolai", "Octavia", "Ophelia", "Percival", "Priya", "Quentin", "Quincy",
    "Rosalind", "Rupert", "Sanjay", "Siobhan", "Tariq", "Thaddeus", "Ulysses", "Unity",
    "Vivian", "Wolfgang", "Wilhelmina", "Xander", "Ximena", "Yolanda", "Yusra", "Zelda",
    "Zoltan", "Aoife", "Chidi", "Oluwaseun", "Nguyen", "Svetlana", "Bjorn", "Ngozi", "Tatiana",
    "Hideo", "Amaru", "Winifred",
)
# fmt: on
TELLINGS = (
    "My name is {}.",
    "Hi, my name is {}.",
    "I'm {}",
    "Hello! I am {}.",
    "you can call me {}",
    "Good morning, I'm {}.",
    "hi there, my name is {}",
)

PHRASINGS = (
    ("hello, how do you do", _GREETING),
    ("Good day to you!", _GREETING),
    ("hi kosmos-x-nano", _GREETING),
    ("hello hello", _GREETING),
    ("so who are you exactly?", _WHO),
    ("What exactly are you?", _WHO),
    ("please tell me your name", _WHO),
    ("Are you a person?", _WHO),
    ("what can you do for me?", _CAN),
    ("What are you capable of?", _CAN),
    ("I need help", _CAN),
    ("what are you able to do for me", _CAN),
    ("What shapes are you able to name?", _SHAPES),
    ("Which colours can you see?", _COLOURS),
    ("Who has trained you?", _MADE),
    ("are you fine?", _FINE),
    ("How are you today?", _FINE),
    ("how are things", _FINE),
    ("thank you kindly", _WELCOME),
    ("ok thanks", _WELCOME),
    ("Thank you for your help!", _WELCOME),
    ("good bye", _BYE),
    ("ok bye now", _BYE),
    ("That was great", _GLAD),
    ("Very nice!", _GLAD),
    ("no, that is wrong", _WRONG),
    ("I think you are wrong", _WRONG),
    ("tell me something funny", CANNOT),
    ("What is the capital of Norway?", CANNOT),
    ("can you write some python code for me?", CANNOT),
    ("Write a haiku.", CANNOT),
    ("What's the weather like in London?", CANNOT),
    ("Who is the king of England?", CANNOT),
    ("What is 17 times 23?", CANNOT),
    ("Please translate good morning to Italian", CANNOT),
    ("How many planets are there?", CANNOT),
    ("Give me a recipe", CANNOT),
    ("what do you see in my picture?", NO_PICTURE),
    ("Describe my photo.", NO_PICTURE),
    ("how many shapes are in the picture I sent?", NO_PICTURE),
)
