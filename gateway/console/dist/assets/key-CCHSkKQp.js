import{a as e,H as a}from"./base-BiJl5cRU.js";function i(r){return e("div",{class:"page",children:e(a,{title:"KeyPage"})})}export{i as KeyPage};
