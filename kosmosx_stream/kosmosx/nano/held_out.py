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

# Written after the patterns that training has; no pattern was changed for them.
LATER_PHRASINGS = (
    ("good morning to you", _GREETING),
    ("hi, it's me", _GREETING),
    ("hello again my dear", _GREETING),
    ("may I know your name?", _WHO),
    ("and you are?", _WHO),
    ("what sort of AI is this?", _WHO),
    ("do I talk to a person?", _WHO),
    ("what are your capabilities?", _CAN),
    ("what could you help me with?", _CAN),
    ("what can I get out of you?", _CAN),
    ("in which ways can you help?", _CAN),
    ("tell me every shape you can name", _SHAPES),
    ("are triangles something you know?", _SHAPES),
    ("which colours are known to you?", _COLOURS),
    ("who is your creator?", _MADE),
    ("who came up with you?", _MADE),
    ("how's your day going?", _FINE),
    ("are you having a good day?", _FINE),
    ("thanks for your support", _WELCOME),
    ("that was kind of you, thanks", _WELCOME),
    ("see you around", _BYE),
    ("I'm leaving now", _BYE),
    ("that's really great", _GLAD),
    ("you did well", _GLAD),
    ("fantastic work", _GLAD),
    ("this isn't right", _WRONG),
    ("that is a wrong answer", _WRONG),
    ("hmm, I doubt it is so", _WRONG),
    ("what's the tallest building in Dubai?", CANNOT),
    ("write me a limerick about frogs", CANNOT),
    ("how do I bake a cake?", CANNOT),
    ("who painted the Mona Lisa?", CANNOT),
    ("can you recommend a good film?", CANNOT),
    ("what's 9 squared?", CANNOT),
    ("tell me the latest headlines", CANNOT),
    ("order me a sandwich", CANNOT),
    ("make the room brighter", CANNOT),
    ("tell me about the photo I gave you", NO_PICTURE),
    ("can you look at the image I attached?", NO_PICTURE),
)

# Ways to ask about a picture that no pattern of `questions.toml` has, by what is asked.
ASKED: dict[str, tuple[str, ...]] = {
    "caption": (
        "Give me a rundown of this picture.",
        "Say what you observe here.",
        "What have we got here?",
        "I'd like to know what's on it.",
    ),
    "count_all": (
        "What's the tally of shapes?",
        "I wonder how many objects this has.",
        "The total amount of shapes, please.",
    ),
    "count": (
        "I need to know how many {} there are.",
        "What's the amount of {}?",
        "Any idea how many {} I drew?",
    ),
    "colour": (
        "The {}, what colour is it?",
        "Do you know what colour the {} is?",
        "I'm curious about the colour of the {}.",
    ),
    "where": (
        "Whereabouts is the {}?",
        "I can't find the {}, where is it?",
        "Could you tell me where the {} sits?",
    ),
    "exists": (
        "Did anyone draw {} in it?",
        "I wonder if there is {}.",
        "Could there be {} in it?",
    ),
    "beside": (
        "What would I find {side} the {name}?",
        "Whatever is {side} the {name}, name it.",
    ),
    "compare": ("Would the {one} be {side} the {other}?", "So the {one} is {side} the {other}?"),
    "extreme": ("Which of them is the {}?", "I want to know the {} shape."),
}
