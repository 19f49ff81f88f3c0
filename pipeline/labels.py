"""The project's label map and the structures that are scored."""

BACKGROUND, LEFT_LUNG, RIGHT_LUNG, INFECTION = 0, 1, 2, 3

# Structure -> codes that belong to it. `lungs` is 1 and 2 as labelled, the papers' way: infected lung is code 3 and not
# in it. The volume of the whole lung, for severity, is 1, 2 and 3 together.
STRUCTURES = {
    "left_lung": (LEFT_LUNG,),
    "right_lung": (RIGHT_LUNG,),
    "lungs": (LEFT_LUNG, RIGHT_LUNG),
    "infection": (INFECTION,),
}
LABEL_CODES = (BACKGROUND, LEFT_LUNG, RIGHT_LUNG, INFECTION)
